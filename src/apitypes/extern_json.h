#pragma once
// The conversions of this module's types are compiled once, in its .cc files: the users of a header only link them.

#include "base/json.h"

#define ESTIBA_EXTERN_JSON(T)                   \
  extern template json::value toJson(const T&); \
  extern template void fromJson(const json::value&, T&, const std::string&);
#define ESTIBA_DEFINE_JSON(T)            \
  template json::value toJson(const T&); \
  template void fromJson(const json::value&, T&, const std::string&);
