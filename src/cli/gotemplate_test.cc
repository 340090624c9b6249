#include "cli/gotemplate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "cli/formatter.h"
#include "cli/golden_test.h"
#include "cli/shapes.h"

namespace estiba::cli {
namespace {

using ::testing::HasSubstr;

std::string render(std::string_view text, const json::value& data = nullptr) {
  return Template::parse(text).execute(Value::ofJson(data));
}

std::string errorOf(std::string_view text, const json::value& data = nullptr) {
  try {
    return "no error: " + render(text, data);
  } catch (const Error& e) {
    return e.what();
  }
}

/// What `docker inspect -f` printed for the same document: see the golden's data.
class InspectTemplate : public ::testing::Test {
 protected:
  static json::object inspect(const json::value& data, const std::string& text) {
    json::object out{{"template", text}};
    std::ostringstream printed;
    try {
      InspectPrinter printer(text);
      printer.add(data, &containerShape());
      printer.flush(printed);
      out["out"] = printed.str();
    } catch (const Error& e) {
      out["error"] = e.what();
    }
    return out;
  }
};

TEST_F(InspectTemplate, PrintsWhatDockerPrints) {
  const json::value data = parseJson(readGolden("template/container.json"), "container.json");
  const json::value cases = parseJson(readGolden("template/inspect.json"), "inspect.json");
  json::array got;
  for (const json::value& one : cases.as_array()) {
    got.push_back(inspect(data, std::string(one.at("template").as_string())));
  }
  ASSERT_EQ(got.size(), cases.as_array().size());
  ASSERT_FALSE(got.empty());
  if (const char* accept = std::getenv("ACCEPT"); accept == nullptr || *accept != '1') {
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(dumpJson(cases.as_array()[i]), dumpJson(got[i]));
    }
  }
  expectGolden("template/inspect.json", dumpJsonIndented(got, " ") + "\n");
}

/// A formatting context: lazy members, a method with an argument.
class Row : public Object {
 public:
  std::optional<Value> member(std::string_view name, std::span<const Value> args) const override {
    if (name == "ID" && args.empty()) return Value("abc");
    if (name == "Label" && args.size() == 1) return Value("label of " + args[0].asString());
    if (name == "Breaks") fail(Code::invalid, "no such thing");
    return std::nullopt;
  }
  json::value toJson() const override { return json::object{{"ID", "a<b"}}; }
  std::string_view typeName() const override { return "*formatter.rowContext"; }
};

std::string renderRow(std::string_view text) {
  return Template::parse(text).execute(Value::object(std::make_shared<Row>()));
}

TEST(Template, CallsMethodsOfObjects) {
  EXPECT_EQ(renderRow("{{.ID}} {{.Label \"x\"}} {{\"y\" | .Label}}"), "abc label of x label of y");
  EXPECT_EQ(renderRow("{{if eq .ID \"abc\"}}{{upper .ID}}{{end}}"), "ABC");
}

TEST(Template, EscapesTheJsonOfObjectsAsGoDoes) {
  EXPECT_EQ(renderRow("{{json .}}"), R"({"ID":"a\u003cb"})");
}

TEST(Template, NamesTheTypeThatLacksAMember) {
  EXPECT_THROW(renderRow("{{.Nope}}"), Error);
  try {
    renderRow("{{.Nope}}");
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(),
                 "template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *formatter.rowContext");
  }
  try {
    renderRow("{{.Breaks}}");
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("error calling Breaks: no such thing"));
  }
}

TEST(Template, LeavesMissingKeysEmptyUnlessToldOtherwise) {
  const json::value data = json::object{{"a", 1}};
  EXPECT_EQ(render("{{.b}}", data), "<no value>");
  EXPECT_THROW(Template::parse("{{.b}}").withMissingKeyError(true).execute(Value::ofJson(data)), Error);
}

TEST(Template, TakesOwnFunctionsBeforeThePredefined) {
  TemplateOptions options{.name = "x", .functions = {{"upper", {1, 1, [](auto args) { return args[0]; }}}}};
  EXPECT_EQ(Template::parse("{{upper \"a\"}}", options).execute(Value()), "a");
}

TEST(Template, RefusesHostileNesting) {
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "{{if 1}}";
  EXPECT_THAT(errorOf(deep), HasSubstr("nested too deeply"));
  EXPECT_THAT(errorOf("{{" + std::string(100000, '(')), HasSubstr("nested too deeply"));
  std::string parens(50000, '(');
  EXPECT_THAT(errorOf("{{" + parens + "1" + std::string(50000, ')') + "}}"), HasSubstr("nested too deeply"));
  EXPECT_THAT(errorOf("{{define \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}"), HasSubstr("depth"));
}

TEST(Template, KeepsVariablesOfADefinitionApart) {
  EXPECT_THAT(errorOf("{{$x := 1}}{{define \"a\"}}{{$x}}{{end}}"), HasSubstr("undefined variable \"$x\""));
}

TEST(GoSprintf, PadsByCodePoints) {
  const std::vector<Value> args{Value("é"), Value(int64_t{-7})};
  EXPECT_EQ(goSprintf("%4s|%-4d|", args), "   é|-7  |");
}

TEST(GoFloat, PrintsTheShortestDigits) {
  EXPECT_EQ(goFloat(0.1), "0.1");
  EXPECT_EQ(goFloat(123456), "123456");
  EXPECT_EQ(goFloat(1234567), "1.234567e+06");
  EXPECT_EQ(goFloat(1e21), "1e+21");
  EXPECT_EQ(goFloat(1e-5), "1e-05");
  EXPECT_EQ(goFloat(-2), "-2");
}

TEST(Value, PrintsAsGoPrints) {
  const json::value data = parseJson(R"({"b":[1,"x",null],"a":{"z":true,"y":1.5}})", "data");
  EXPECT_EQ(Value::ofJson(data).print(), "map[a:map[y:1.5 z:true] b:[1 x <nil>]]");
}

TEST(Value, KeepsOwnedJsonAlive) {
  Value inner;
  {
    const Value outer = Value::owningJson(json::object{{"a", json::array{1, 2}}});
    inner = *outer.member("a");
  }
  EXPECT_EQ(inner.print(), "[1 2]");
}

}  // namespace
}  // namespace estiba::cli
