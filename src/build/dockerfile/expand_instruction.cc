#include <array>
#include <csignal>

#include "base/text.h"
#include "build/dockerfile/instructions.h"
#include "build/dockerfile/run_mount.h"

namespace estiba::build {
namespace {

/// Names as signal(7) has them, with the real-time ones.
bool isSignalName(std::string_view name) {
  static constexpr std::array kNames = {"ABRT", "ALRM",   "BUS",  "CHLD",   "CLD",   "CONT", "FPE",  "HUP",  "ILL",
                                        "INT",  "IO",     "IOT",  "KILL",   "PIPE",  "POLL", "PROF", "PWR",  "QUIT",
                                        "SEGV", "STKFLT", "STOP", "SYS",    "TERM",  "TRAP", "TSTP", "TTIN", "TTOU",
                                        "URG",  "USR1",   "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ"};
  for (const std::string_view known : kNames) {
    if (name == known) return true;
  }
  if (name == "RTMIN" || name == "RTMAX") return true;
  const bool low = name.starts_with("RTMIN+");
  if (!low && !name.starts_with("RTMAX-")) return false;
  const auto offset = parseUint(name.substr(6));
  return offset && *offset >= 1 && *offset <= (low ? 15 : 14);
}

void checkSignal(const std::string& text) {
  if (const auto number = parseInt(text)) {
    if (*number == 0) fail(Code::invalid, "invalid signal: {}", text);
    return;
  }
  std::string name = toUpper(text);
  if (name.starts_with("SIG")) name.erase(0, 3);
  if (!isSignalName(name)) fail(Code::invalid, "invalid signal: {}", text);
}

class Expansion {
 public:
  Expansion(ExpandedInstruction& out, const Variables& env, char escape) : out_(out), env_(env), escape_(escape) {}

  void operator()(RunInstruction& run) {
    run.mounts.clear();
    for (const std::string& text : run.mountTexts) {
      run.mounts.push_back(readRunMount(text, [&](std::string_view value) { return word(value); }));
    }
  }
  void operator()(CopyInstruction& copy) {
    in(copy.chown);
    in(copy.chmod);
    in(copy.checksum);
    for (std::string& source : copy.sources) in(source);
    in(copy.destination);
    for (InlineFile& file : copy.inlineFiles) {
      if (file.expand)
        file.content = note(Expander{.escape = '\\', .plainQuotes = true}.expand(file.content, env_)).text;
    }
    check(copy);
  }
  void operator()(EnvInstruction& env) { pairs(env.pairs); }
  void operator()(LabelInstruction& label) { pairs(label.pairs); }
  void operator()(WorkdirInstruction& workdir) { in(workdir.path); }
  void operator()(UserInstruction& user) { in(user.user); }
  void operator()(VolumeInstruction& volume) {
    for (std::string& path : volume.paths) {
      in(path);
      if (path.empty()) fail(Code::invalid, "VOLUME specified can not be an empty string");
    }
  }
  void operator()(ExposeInstruction& expose) {
    std::vector<std::string> words;
    for (const std::string& port : expose.ports) {
      const Expanded got = note(Expander{.escape = escape_}.expand(port, env_));
      words.insert(words.end(), got.words.begin(), got.words.end());
    }
    expose.ports = std::move(words);
  }
  void operator()(StopSignalInstruction& signal) {
    in(signal.signal);
    checkSignal(signal.signal);
  }
  template <class Other>
  void operator()(Other&) {}

 private:
  Expanded note(Expanded got) {
    out_.unsetByWord.insert(out_.unsetByWord.end(), got.unset.begin(), got.unset.end());
    out_.used.insert(got.used.begin(), got.used.end());
    out_.unset.insert(got.unset.begin(), got.unset.end());
    return got;
  }
  std::string word(std::string_view text) { return note(Expander{.escape = escape_}.expand(text, env_)).text; }
  void in(std::string& text) { text = word(text); }
  void pairs(std::vector<KeyValue>& list) {
    for (KeyValue& pair : list) {
      in(pair.key);
      in(pair.value);
    }
  }

  static void check(const CopyInstruction& copy) {
    if (!copy.chmod.empty()) checkChmod(copy.chmod);
    if (!copy.checksum.empty()) {
      if (copy.sources.size() != 1) fail(Code::invalid, "checksum can't be specified for multiple sources");
      if (!isHttpSource(copy.sources.front()) && !isGitSource(copy.sources.front())) {
        fail(Code::invalid, "checksum requires HTTP(S) or Git sources");
      }
    }
    for (const std::string& source : copy.sources) {
      if (copy.add) break;
      if (isGitSource(source)) fail(Code::invalid, "source can't be a git ref for COPY");
      if (isHttpSource(source)) fail(Code::invalid, "source can't be a URL for COPY");
    }
  }

  ExpandedInstruction& out_;
  const Variables& env_;
  char escape_;
};

}  // namespace

ExpandedInstruction expandInstruction(const Instruction& instruction, const Variables& env, char escape) {
  ExpandedInstruction out{.instruction = instruction, .used = {}, .unset = {}, .unsetByWord = {}};
  try {
    std::visit(Expansion(out, env, escape), out.instruction.body);
  } catch (const Error& e) {
    throw DockerfileError(e.what(), instruction.lines);
  }
  return out;
}

}  // namespace estiba::build
