#pragma once
// Commands as data, their tree, their help, and the way from argv to a command's function.
//
// One definition serves every name it is called by: `estiba image ls`, `image list` and `images` are one Command that
// hangs in the tree twice. A command's file says
//     const Command kImageLs{.name = "ls", .args = "[REPOSITORY[:TAG]]", .summary = "List images",
//                            .flags = {boolFlag("all", 'a', "…"), …}, .arity = atMost(1),
//                            .aliases = {"list"}, .shortcut = "images", .run = imageLs};
// and `commandTree()` (tree.cc) puts it below its group.

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/args.h"

namespace estiba::cli {

class Cli;

/// How many positional arguments a command takes.
struct Arity {
  int least = 0;
  int most = -1;  ///< -1: any number
};
constexpr Arity noArgs() {
  return {0, 0};
}
constexpr Arity exactly(int n) {
  return {n, n};
}
constexpr Arity atLeast(int n) {
  return {n, -1};
}
constexpr Arity atMost(int n) {
  return {0, n};
}
constexpr Arity between(int least, int most) {
  return {least, most};
}
constexpr Arity anyNumber() {
  return {0, -1};
}

/// Where top-level help lists a command. `common` keeps the tree's order, the others are sorted.
enum class HelpGroup { common, management, command, hidden };

/// Runs the command. @return exit code. May throw Error: its message is printed as it is, exit 1; of a command with
/// errorExit 125 behind the program's name and followed by a hint, as docker run does.
using CommandFn = int (*)(Cli&, const Parsed&);

struct Command {
  std::string_view name;     ///< below its group: "ls"; of a command without group: "login"
  std::string_view args;     ///< after [OPTIONS] in the usage line; '\n' starts a second form (cp)
  std::string_view summary;  ///< one line, as the group's help lists it
  std::string_view details;  ///< printed by --help in the summary's place, where there is more to say
  std::vector<Flag> flags;
  Arity arity = noArgs();
  bool interspersed = true;               ///< false: flags end at the first positional argument
  int errorExit = 1;                      ///< 125: run and create; then errors end with "Run '… --help' for more…"
  std::vector<std::string_view> aliases;  ///< other names below the group: "list", "remove"
  std::string_view shortcut;              ///< its name at the top level: "images"; "": none
  HelpGroup shortcutGroup = HelpGroup::command;
  std::string_view aliasLine;            ///< help's list of names where it is not the derived one
  bool usageHasOptions = true;           ///< "[OPTIONS]" is shown if there are flags; false: never
  CommandFn run = nullptr;               ///< null: a management command, its children do the work
  std::vector<const Command*> children;  ///< sorted by name for help
};

/// The whole tree: `children` are management commands and commands that have no group, in any order; the commands'
/// shortcuts are found by themselves. `common` gives the order of the first help group, by shortcut or name.
struct Tree {
  std::string_view summary;
  std::vector<Flag> globals;
  std::vector<const Command*> children;
  std::vector<std::string_view> common;
  std::string_view footer;       ///< last line of top-level help
  std::string_view versionLine;  ///< what the global flag --version prints, where `globals` has it; "{}" is the program
};

/// A command and the words that led to it: {"image", "ls"} or {"images"}.
struct Called {
  const Command* command = nullptr;  ///< null: the program itself
  std::vector<std::string_view> path;
};

/// Exit code 125 is docker's for a bad flag of any command; 1 for bad arity and unknown commands; 0 for help.
inline constexpr int kFlagErrorExit = 125;

/// Thrown by commands for an exit code of their own. An empty message prints nothing.
class ExitError : public Error {
 public:
  ExitError(int exitCode, const std::string& message) : Error(Code::internal, message), exitCode_(exitCode) {}
  int exitCode() const noexcept { return exitCode_; }

 private:
  int exitCode_;
};

/// The program's life from argv (argv[0] first) to its exit code: global flags, the command, help, errors printed.
/// `prepare` is called with the global flags once the command is known and before it runs.
int runCli(const Tree& tree, Cli& cli, std::span<const std::string> argv,
           const std::function<void(const Parsed& globals)>& prepare);

/// Finds the command that `words` name; stops at the first word that is none.
/// @return what was found, and how many words it took.
std::pair<Called, size_t> findCommand(const Tree& tree, std::span<const std::string> words);

/// --help of a command, or of the whole program (called.command null), wrapped at `columns`.
std::string helpText(const Tree& tree, const Called& called, std::string_view program, int columns);
/// "docker run [OPTIONS] IMAGE [COMMAND] [ARG...]"
std::string usageLine(const Called& called, std::string_view program);

/// "'docker rm' requires at least 1 argument"; empty where `count` fits.
std::string arityError(const Called& called, std::string_view program, size_t count);

}  // namespace estiba::cli
