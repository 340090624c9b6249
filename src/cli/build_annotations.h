#pragma once
// --annotation of a build, and the annotation… attributes of an --output.

#include <string>
#include <vector>

#include "apitypes/build_trace.h"

namespace estiba::cli {

/// "key=value", "manifest,index:key=value", "manifest-descriptor[linux/arm64]:key=value": one for every place that is
/// named. Throws Error(invalid) in buildx's words.
std::vector<apitypes::BuildAnnotation> parseAnnotation(const std::string& text);

/// An attribute "annotation.key", "annotation-manifest[linux/amd64].key". Throws Error(invalid).
apitypes::BuildAnnotation annotationAttribute(const std::string& name, const std::string& value);

}  // namespace estiba::cli
