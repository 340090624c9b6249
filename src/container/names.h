#pragma once

#include <string>
#include <string_view>

namespace estiba::container {

/// A random "adjective_surname", with a digit behind it from the second try on: the form of docker's generated names.
std::string randomName(int attempt);

/// [a-zA-Z0-9][a-zA-Z0-9_.-]+, a leading '/' allowed. Throws Error(invalid) in docker's words.
void checkName(std::string_view name);

}  // namespace estiba::container
