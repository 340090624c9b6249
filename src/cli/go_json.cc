#include "cli/go_json.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

namespace estiba::cli {

namespace {

/// Exponents below 1e-6 and from 1e21, without the leading zero of "e-09".
std::string number(double value) {
  if (!std::isfinite(value)) return "null";
  std::array<char, 512> buffer{};
  const double magnitude = std::fabs(value);
  const bool plain = magnitude == 0 || (magnitude >= 1e-6 && magnitude < 1e21);
  const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  std::string out(buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format).ptr);
  if (const size_t zero = out.find("e-0"); zero != std::string::npos) out.erase(zero + 2, 1);
  return out;
}

class Writer {
 public:
  explicit Writer(GoJsonStyle style) : style_(style) {}

  void write(const json::value& value) {
    if (const auto* object = value.if_object()) {
      sequence('{', '}', *object, [&](const auto& item) {
        text(item.key());
        out_ += style_.indent.empty() ? ":" : ": ";
        write(item.value());
      });
    } else if (const auto* array = value.if_array()) {
      sequence('[', ']', *array, [&](const auto& item) { write(item); });
    } else if (const auto* string = value.if_string()) {
      text(*string);
    } else if (const auto* floating = value.if_double()) {
      out_ += number(*floating);
    } else {
      out_ += json::serialize(value);
    }
  }
  std::string take() { return std::move(out_); }

 private:
  template <class C, class F>
  void sequence(char open, char close, const C& items, const F& one) {
    out_ += open;
    ++depth_;
    bool first = true;
    for (const auto& item : items) {
      if (!std::exchange(first, false)) out_ += ',';
      newline();
      one(item);
    }
    --depth_;
    if (!items.empty()) newline();
    out_ += close;
  }

  void newline() {
    if (style_.indent.empty()) return;
    out_ += '\n';
    for (size_t i = 0; i < depth_; ++i) out_ += style_.indent;
  }

  void text(std::string_view string) {
    const std::string plain = json::serialize(json::string(string));
    if (!style_.escapeHtml) {
      out_ += plain;
      return;
    }
    for (const char c : plain) {
      if (c == '<' || c == '>' || c == '&') {
        out_ += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
      } else {
        out_ += c;
      }
    }
  }

  GoJsonStyle style_;
  std::string out_;
  size_t depth_ = 0;
};

}  // namespace

std::string goJson(const json::value& value, GoJsonStyle style) {
  Writer writer(style);
  writer.write(value);
  return writer.take();
}

}  // namespace estiba::cli
