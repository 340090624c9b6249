#include "cli/formatter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <sstream>

#include "cli/table.h"

namespace estiba::cli {
namespace {

struct Container {
  std::string id, names, status;
};

constexpr std::array<Column<Container>, 3> kColumns{
    {{"ID", "CONTAINER ID", [](const Container& c) { return Value(c.id); }},
     {"Names", "NAMES", [](const Container& c) { return Value(c.names); }},
     {"Status", "STATUS", [](const Container& c) { return Value(c.status); }}}};

std::optional<Value> method(const Container&, std::string_view name, std::span<const Value> args) {
  if (name == "Label" && args.size() == 1) return Value("");
  return std::nullopt;
}

constexpr ListFormat kFormat{.defaultTable = "table {{.ID}}\t{{.Status}}\t{{.Names}}",
                             .quiet = "{{.ID}}",
                             .raw = "container_id: {{.ID}}\\nnames: {{.Names}}\\n"};

std::string print(std::string_view format, bool quiet = false) {
  const std::vector<Container> containers{{"c0ffee12c0ff", "web", "Up 3 hours"},
                                          {"ffffffffffff", "näme€", "Exited (0) 3 hours ago"}};
  std::vector<std::shared_ptr<const Object>> rows;
  for (const Container& c : containers) {
    rows.push_back(std::make_shared<RowObject<Container>>(c, std::span<const Column<Container>>(kColumns),
                                                          "*formatter.ContainerContext", method));
  }
  std::ostringstream out;
  printRows(out, kFormat, format, quiet, headersOf(std::span<const Column<Container>>(kColumns)), rows);
  return out.str();
}

TEST(Formatter, LinesUpTheDefaultTable) {
  const std::string table =
      "CONTAINER ID   STATUS                   NAMES\n"
      "c0ffee12c0ff   Up 3 hours               web\n"
      "ffffffffffff   Exited (0) 3 hours ago   näme€\n";
  EXPECT_EQ(print(""), table);
  EXPECT_EQ(print("table"), table);
}

TEST(Formatter, TakesTableTemplatesAsDockerDoes) {
  EXPECT_EQ(print("table {{.Names}}\\t{{.ID}}"),
            "NAMES     CONTAINER ID\nweb       c0ffee12c0ff\nnäme€     ffffffffffff\n");
  EXPECT_EQ(print("table{{upper .ID}}"), "CONTAINER ID\nC0FFEE12C0FF\nFFFFFFFFFFFF\n");
  EXPECT_EQ(print(" table {{.ID}}"), "table c0ffee12c0ff\ntable ffffffffffff\n");
  EXPECT_EQ(print("table {{.Label \"com.docker.my-label_x\"}}\\t{{.ID}}"),
            "my label x   CONTAINER ID\n             c0ffee12c0ff\n             ffffffffffff\n");
  EXPECT_EQ(print("table {{pad .ID 1 2}}|"), " CONTAINER ID  |\n c0ffee12c0ff  |\n ffffffffffff  |\n");
  EXPECT_EQ(print("table {{split .Names \",\"}}"), "NAMES\n[web]\n[näme€]\n");
  EXPECT_EQ(print("table {{range split .Names \",\"}}x{{.}}{{end}}"), "\nxweb\nxnäme€\n");
  EXPECT_EQ(print("table {{len .ID}}"), "12\n12\n12\n");
  EXPECT_EQ(print("table {{truncate .ID 3}}"), "CONTAINER ID\nc0f\nfff\n");
}

TEST(Formatter, PrintsOtherFormatsLineByLine) {
  EXPECT_EQ(print("{{.ID}}\\t{{.Names}}"), "c0ffee12c0ff\tweb\nffffffffffff\tnäme€\n");
  EXPECT_EQ(print("json"),
            "{\"ID\":\"c0ffee12c0ff\",\"Names\":\"web\",\"Status\":\"Up 3 hours\"}\n"
            "{\"ID\":\"ffffffffffff\",\"Names\":\"näme€\",\"Status\":\"Exited (0) 3 hours ago\"}\n");
  EXPECT_EQ(print("pretty"), "pretty\npretty\n");
  EXPECT_EQ(print("raw"), "container_id: c0ffee12c0ff\nnames: web\n\ncontainer_id: ffffffffffff\nnames: näme€\n\n");
}

TEST(Formatter, LetsQuietReplaceOnlyTheDefaultTable) {
  EXPECT_EQ(print("", true), "c0ffee12c0ff\nffffffffffff\n");
  EXPECT_EQ(print("table", true), "c0ffee12c0ff\nffffffffffff\n");
  EXPECT_EQ(print("{{.Names}}", true), "web\nnäme€\n");
}

TEST(Formatter, NamesTheFieldThatIsNotThere) {
  try {
    print("table {{.Foo}}");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(),
                 "template parsing error: template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type "
                 "*formatter.ContainerContext");
  }
}

TEST(Table, MakesColumnsOfNeighbouringLinesOnly) {
  EXPECT_EQ(alignTabs("a\tb\nlonger than ten\tc\n\nx\ty\n"),
            "a                 b\nlonger than ten   c\n\nx         y\n");
  EXPECT_EQ(alignTabs("a\t\tb\n"), "a                   b\n");
  EXPECT_EQ(alignTabs("a\t\n"), "a         \n");
  EXPECT_EQ(alignTabs(""), "");
}

TEST(Table, CutsTextWithAnEllipsis) {
  EXPECT_EQ(ellipsis("hello world", 20), "hello world");
  EXPECT_EQ(ellipsis("hello world", 6), "hello…");
  EXPECT_EQ(ellipsis("hello", 5), "hello");
  EXPECT_EQ(ellipsis("näme€x", 5), "näme…");
  EXPECT_EQ(ellipsis("日本語", 4), "日…");
  EXPECT_EQ(ellipsis("x", 0), "");
  EXPECT_EQ(ellipsis("xyz", 1), "x");
  EXPECT_EQ(truncateId("sha256:0123456789abcdef"), "0123456789ab");
  EXPECT_EQ(truncateId("short"), "short");
}

}  // namespace
}  // namespace estiba::cli
