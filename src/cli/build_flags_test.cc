#include <gtest/gtest.h>

#include "base/error.h"
#include "cli/build_annotations.h"
#include "cli/build_call.h"

namespace estiba::cli {
namespace {

template <class F>
std::string errorOf(F&& run) {
  try {
    run();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

std::string shown(const std::vector<apitypes::BuildAnnotation>& all) {
  std::string out;
  for (const auto& a : all) out += fmt::format("{}[{}]:{}={};", a.type, a.platform, a.key, a.value);
  return out;
}

TEST(BuildAnnotations, AreReadWithTheirPlaces) {
  EXPECT_EQ(shown(parseAnnotation("a.b=c=d")), "[]:a.b=c=d;");
  EXPECT_EQ(shown(parseAnnotation("manifest,index:k=")), "manifest[]:k=;index[]:k=;");
  EXPECT_EQ(shown(parseAnnotation("manifest-descriptor[linux/arm64]:k=v")), "manifest-descriptor[linux/arm64]:k=v;");
  EXPECT_EQ(shown({annotationAttribute("annotation.org.x", "v")}), "[]:org.x=v;");
  EXPECT_EQ(shown({annotationAttribute("annotation-manifest[linux/amd64].k", "v")}), "manifest[linux/amd64]:k=v;");
}

TEST(BuildAnnotations, AreRefusedInBuildxWords) {
  EXPECT_EQ(errorOf([] { parseAnnotation("a"); }), "parse annotations: invalid annotation \"a\", expected key=value");
  EXPECT_EQ(errorOf([] { parseAnnotation("x:k=v"); }), "parse annotations: unknown annotation type \"x\"");
  EXPECT_EQ(errorOf([] { parseAnnotation("manifest[:k=v"); }),
            "parse annotations: invalid annotation type \"manifest[\", expected type and optional platform in square "
            "brackets");
  EXPECT_EQ(errorOf([] { annotationAttribute("annotations", "v"); }), "invalid annotation \"annotations\"");
  EXPECT_EQ(errorOf([] { annotationAttribute("annotation-x.k", "v"); }), "unrecognized annotation type x");
}

TEST(BuildCallFlag, IsReadAsBuildxDoes) {
  const auto flag = parseCall("check,format=json,ignorestatus=true");
  EXPECT_EQ(flag.name, "lint");
  EXPECT_EQ(flag.format, "json");
  EXPECT_TRUE(flag.ignoreStatus);
  EXPECT_EQ(parseCall("build").name, "");
  EXPECT_EQ(parseCall("").name, "");
  EXPECT_EQ(errorOf([] { parseCall("a,b"); }), "invalid print value: a,b");
  EXPECT_EQ(errorOf([] { parseCall("a,x=1"); }), "invalid print field: x=1");
  EXPECT_EQ(errorOf([] { parseCall("a,ignorestatus=q"); }),
            "invalid ignorestatus print value: q: strconv.ParseBool: parsing \"q\": invalid syntax");
}

}  // namespace
}  // namespace estiba::cli
