#pragma once
// `--format`: "table", "table TEMPLATE", "json", "raw", TEMPLATE; and `inspect -f`.

#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/gotemplate.h"

namespace estiba::cli {

/// One column or field of a listing: its template name, its header, and how a row's value is made.
template <class Row>
struct Column {
  std::string_view name;
  std::string_view header;
  Value (*value)(const Row&);
};

/// How rows of one kind are written.
struct ListFormat {
  std::string_view defaultTable;  ///< "table {{.ID}}\t{{.Repository}}"
  std::string_view quiet;         ///< template of -q: "{{.ID}}"; "": the listing has no -q
  std::string_view raw;           ///< template of "raw"; "": "raw" is just text
};

/// Values of the headers by field name, for "table …" templates.
using Headers = std::map<std::string, std::string, std::less<>>;

/// Prints rows as `format` says.
/// @param format  the user's --format: "" and "table" (the default table), "table X", "json", "raw", or a template
/// @param quiet   -q: `list.quiet` in the place of the default table; any other format stays what it is
/// @throws Error(invalid) "template parsing error: template: …"; then nothing was written
void printRows(std::ostream& out, const ListFormat& list, std::string_view format, bool quiet, const Headers& headers,
               const std::vector<std::shared_ptr<const Object>>& rows);

/// A row as template object: members by name from `columns`; methods with arguments ("Label") by `method`.
template <class Row>
class RowObject : public Object {
 public:
  using Method = std::optional<Value> (*)(const Row&, std::string_view name, std::span<const Value> args);
  RowObject(Row row, std::span<const Column<Row>> columns, std::string_view typeName, Method method = nullptr)
      : row_(std::move(row)), columns_(columns), typeName_(typeName), method_(method) {}

  std::optional<Value> member(std::string_view name, std::span<const Value> args) const override {
    for (const auto& column : columns_) {
      if (column.name == name && args.empty()) return column.value(row_);
    }
    return method_ == nullptr ? std::nullopt : method_(row_, name, args);
  }
  json::value toJson() const override {
    std::map<std::string_view, Value> sorted;
    for (const auto& column : columns_) sorted.emplace(column.name, column.value(row_));
    json::object out;
    for (const auto& [name, value] : sorted) out[name] = value.toJson();
    return out;
  }
  std::string_view typeName() const override { return typeName_; }

 private:
  Row row_;
  std::span<const Column<Row>> columns_;
  std::string_view typeName_;
  Method method_;
};

template <class Row>
Headers headersOf(std::span<const Column<Row>> columns) {
  Headers out;
  for (const auto& column : columns) out.emplace(column.name, column.header);
  return out;
}

/// `inspect`: with no format ("" or "json" on one line) a JSON array of all, otherwise one line for each.
/// Every element is looked at as its Shape says first; a template that fails so is tried on the bare JSON.
/// @throws Error(invalid) "template parsing error: template: …"
class InspectPrinter {
 public:
  /// Parses at once: a bad template fails before anything is asked of the engine.
  explicit InspectPrinter(std::string_view format);
  /// Keeps what one element becomes. @throws Error(invalid) from the template
  void add(const json::value& element, const Shape* shape = nullptr);
  /// Writes what was added: even after an error, what went before is shown.
  void flush(std::ostream& out) const;

 private:
  enum class Mode { indentedArray, jsonLine, lines };
  Mode mode_;
  std::optional<Template> template_;
  json::array elements_;
  std::string lines_;
};

}  // namespace estiba::cli
