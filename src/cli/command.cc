#include "cli/command.h"

#include <algorithm>
#include <ostream>

#include "base/text.h"
#include "cli/cli.h"

namespace estiba::cli {

namespace {

/// A name of the top level and what it stands for.
struct TopEntry {
  std::string_view name;
  const Command* command;
  HelpGroup group;
};

bool isManagement(const Command& command) {
  return command.run == nullptr;
}

std::vector<TopEntry> topEntries(const Tree& tree) {
  std::vector<TopEntry> out;
  for (const Command* child : tree.children) {
    out.push_back({child->name, child, isManagement(*child) ? HelpGroup::management : child->shortcutGroup});
    for (const Command* inner : child->children) {
      if (!inner->shortcut.empty()) out.push_back({inner->shortcut, inner, inner->shortcutGroup});
    }
  }
  for (TopEntry& entry : out) {
    const bool common = std::find(tree.common.begin(), tree.common.end(), entry.name) != tree.common.end();
    if (common) entry.group = HelpGroup::common;
  }
  std::sort(out.begin(), out.end(), [](const TopEntry& a, const TopEntry& b) { return a.name < b.name; });
  // A command may hang in two groups (image build, builder build).
  out.erase(std::unique(out.begin(), out.end(), [](const TopEntry& a, const TopEntry& b) { return a.name == b.name; }),
            out.end());
  return out;
}

bool answersTo(const Command& command, std::string_view word) {
  return command.name == word ||
         std::find(command.aliases.begin(), command.aliases.end(), word) != command.aliases.end();
}

const Command* childNamed(const Command& parent, std::string_view word) {
  const auto found = std::find_if(parent.children.begin(), parent.children.end(),
                                  [&](const Command* c) { return answersTo(*c, word); });
  return found == parent.children.end() ? nullptr : *found;
}

/// Without the sorted list: most calls want one command and no help.
const Command* topNamed(const Tree& tree, std::string_view word, std::string_view& name) {
  for (const Command* child : tree.children) {
    if (answersTo(*child, word)) return name = child->name, child;
    for (const Command* inner : child->children) {
      if (!inner->shortcut.empty() && inner->shortcut == word) return name = inner->shortcut, inner;
    }
  }
  return nullptr;
}

std::string pathText(const Called& called, std::string_view program) {
  std::string out(program);
  for (const std::string_view word : called.path) out += fmt::format(" {}", word);
  return out;
}

/// "docker image ls, docker image list, docker images"; "" where there is only one name.
std::string aliasLine(const Tree& tree, const Command& command, std::string_view program) {
  if (!command.aliasLine.empty()) return replaceAll(command.aliasLine, "{}", program);
  if (command.shortcut.empty() && command.aliases.empty()) return "";
  std::string prefix(program);
  for (const Command* group : tree.children) {
    if (std::find(group->children.begin(), group->children.end(), &command) != group->children.end()) {
      prefix += fmt::format(" {}", group->name);
    }
  }
  std::string out = fmt::format("{} {}", prefix, command.name);
  for (const std::string_view alias : command.aliases) out += fmt::format(", {} {}", prefix, alias);
  if (!command.shortcut.empty()) out += fmt::format(", {} {}", program, command.shortcut);
  return out;
}

std::string commandRows(const std::vector<std::pair<std::string_view, std::string_view>>& rows, size_t widest) {
  std::string out;
  for (const auto& [name, summary] : rows)
    out += fmt::format("  {:<{}} {}\n", name, std::max<size_t>(11, widest), summary);
  return out;
}

std::string topHelp(const Tree& tree, std::string_view program, int columns) {
  const auto entries = topEntries(tree);
  size_t widest = 0;
  for (const TopEntry& entry : entries) widest = std::max(widest, entry.name.size());
  std::string out = fmt::format("Usage:  {} [OPTIONS] COMMAND\n\n{}\n", program, tree.summary);
  const auto section = [&](std::string_view title, HelpGroup group) {
    std::vector<std::pair<std::string_view, std::string_view>> rows;
    for (const TopEntry& entry : entries) {
      if (entry.group == group) rows.emplace_back(entry.name, entry.command->summary);
    }
    if (group == HelpGroup::common) {
      const auto place = [&](auto& row) { return std::find(tree.common.begin(), tree.common.end(), row.first); };
      std::sort(rows.begin(), rows.end(), [&](auto& a, auto& b) { return place(a) < place(b); });
    }
    if (!rows.empty()) out += fmt::format("\n{}:\n{}", title, commandRows(rows, widest));
  };
  section("Common Commands", HelpGroup::common);
  section("Management Commands", HelpGroup::management);
  section("Commands", HelpGroup::command);
  out += "\nGlobal Options:\n" + flagUsages(tree.globals, columns - 1);
  out += fmt::format("\nRun '{} COMMAND --help' for more information on a command.\n", program);
  if (!tree.footer.empty()) out += fmt::format("\n{}\n", tree.footer);
  return out;
}

std::string groupHelp(const Called& called, std::string_view program) {
  const std::string path = pathText(called, program);
  std::vector<std::pair<std::string_view, std::string_view>> rows;
  size_t widest = 0;
  for (const Command* child : called.command->children) {
    if (child->shortcutGroup == HelpGroup::hidden) continue;
    rows.emplace_back(child->name, child->summary);
    widest = std::max(widest, child->name.size());
  }
  std::sort(rows.begin(), rows.end());
  return fmt::format(
      "Usage:  {0} COMMAND\n\n{1}\n\nCommands:\n{2}\nRun '{0} COMMAND --help' for more information on a command.\n",
      path, called.command->summary, commandRows(rows, widest));
}

bool hasVisibleFlags(const Command& command) {
  return std::any_of(command.flags.begin(), command.flags.end(), [](const Flag& f) { return !f.hidden; });
}

/// One command line on its way: errors are printed here, as docker words them.
class Dispatch {
 public:
  Dispatch(const Tree& tree, Cli& cli, const std::function<void(const Parsed&)>& prepare)
      : tree_(tree), cli_(cli), prepare_(prepare) {}

  int run(std::span<const std::string> args) {
    Parsed globals;
    try {
      globals = parseArgs(args, tree_.globals, false);
    } catch (const FlagError& e) {
      return flagError({}, e);
    }
    if (globals.help) return help({}, globals);
    const bool hasVersion = !tree_.versionLine.empty();
    if (hasVersion && globals.flag("version")) {
      cli_.out() << replaceAll(tree_.versionLine, "{}", cli_.program() == "docker" ? "Docker" : cli_.program()) << '\n';
      return 0;
    }
    if (globals.args.empty()) {
      cli_.err() << helpOf({});
      return 0;
    }
    if (globals.args[0] == "help") return helpCommand(std::span(globals.args).subspan(1));
    const auto [called, taken] = findCommand(tree_, globals.args);
    const auto rest = std::span<const std::string>(globals.args).subspan(taken);
    if (called.command == nullptr) return unknown(called, rest);
    return isManagement(*called.command) ? group(called, rest) : leaf(called, rest, globals);
  }

 private:
  std::string helpOf(const Called& called) const { return helpText(tree_, called, cli_.program(), cli_.columns()); }
  std::string path(const Called& called) const { return pathText(called, cli_.program()); }

  int help(const Called& called, const Parsed& parsed) {
    if (parsed.helpByShorthand) {
      (called.command == nullptr ? cli_.err() : cli_.out()) << "Flag shorthand -h has been deprecated, use --help\n";
    }
    cli_.out() << helpOf(called);
    return 0;
  }

  int helpCommand(std::span<const std::string> words) {
    const auto [called, taken] = findCommand(tree_, words);
    if (taken < words.size()) {
      cli_.err() << "unknown help topic: " << words[taken] << '\n';
      return 1;
    }
    cli_.out() << helpOf(called);
    return 0;
  }

  int flagError(const Called& called, const std::exception& e) {
    cli_.err() << fmt::format("{}\n\nUsage:  {}\n\nRun '{} --help' for more information\n", e.what(),
                              usageLine(called, cli_.program()), path(called));
    return kFlagErrorExit;
  }

  /// A word that is no command: with --help anywhere behind it, help is what is wanted.
  int unknown(const Called& parent, std::span<const std::string> words) {
    const bool wantsHelp = std::any_of(words.begin(), words.end(), [](auto& w) { return w == "--help" || w == "-h"; });
    if (wantsHelp) {
      cli_.out() << helpOf(parent);
      return 0;
    }
    const std::string usage = parent.command == nullptr ? "" : fmt::format("Usage:  {}\n\n", path(parent));
    cli_.err() << fmt::format("{0}: unknown command: {1} {2}\n\n{3}Run '{1} --help' for more information\n",
                              cli_.program(), path(parent), words[0], usage);
    return 1;
  }

  int group(const Called& called, std::span<const std::string> rest) {
    try {
      const Parsed parsed = parseArgs(rest, called.command->flags);
      if (parsed.help) return help(called, parsed);
      if (!parsed.args.empty()) return unknown(called, parsed.args);
    } catch (const FlagError& e) {
      return flagError(called, e);
    }
    cli_.err() << helpOf(called);
    return 0;
  }

  int leaf(const Called& called, std::span<const std::string> rest, const Parsed& globals) {
    try {
      const Parsed parsed = parseArgs(rest, called.command->flags, called.command->interspersed);
      for (const std::string& warning : parsed.warnings) cli_.out() << warning << '\n';
      if (parsed.help) return help(called, parsed);
      if (const std::string error = arityError(called, cli_.program(), parsed.args.size()); !error.empty()) {
        cli_.err() << error;
        return 1;
      }
      prepare_(globals);
      return called.command->run(cli_, parsed);
    } catch (const FlagError& e) {
      return flagError(called, e);
    } catch (const ExitError& e) {
      if (*e.what() != '\0') report(called, e);
      return e.exitCode();
    } catch (const std::exception& e) {
      report(called, e);
      return called.command->errorExit;
    }
  }

  void report(const Called& called, const std::exception& e) {
    cli_.out().flush();
    if (called.command->errorExit == 1) {
      cli_.err() << e.what() << '\n';
    } else {
      cli_.err() << fmt::format("{}: {}\n\nRun '{} --help' for more information\n", cli_.program(), e.what(),
                                path(called));
    }
  }

  const Tree& tree_;
  Cli& cli_;
  const std::function<void(const Parsed&)>& prepare_;
};

}  // namespace

std::pair<Called, size_t> findCommand(const Tree& tree, std::span<const std::string> words) {
  Called out;
  if (words.empty()) return {out, 0};
  std::string_view name;
  out.command = topNamed(tree, words[0], name);
  if (out.command == nullptr) return {out, 0};
  out.path.push_back(name);
  size_t taken = 1;
  for (; taken < words.size() && isManagement(*out.command); ++taken) {
    const Command* child = childNamed(*out.command, words[taken]);
    if (child == nullptr) break;
    out.command = child;
    out.path.push_back(child->name);
  }
  return {out, taken};
}

std::string usageLine(const Called& called, std::string_view program) {
  if (called.command == nullptr) return fmt::format("{} [OPTIONS] COMMAND [ARG...]", program);
  const Command& command = *called.command;
  const std::string path = pathText(called, program);
  if (isManagement(command)) return path;
  const std::string start = path + (command.usageHasOptions && hasVisibleFlags(command) ? " [OPTIONS]" : "");
  std::string out;
  for (const std::string& form : split(command.args, '\n')) {
    out += (out.empty() ? "" : "\n\t") + start + (form.empty() ? "" : " ") + form;
  }
  return out;
}

std::string helpText(const Tree& tree, const Called& called, std::string_view program, int columns) {
  if (called.command == nullptr) return topHelp(tree, program, columns);
  const Command& command = *called.command;
  if (isManagement(command)) return groupHelp(called, program);
  std::string out = fmt::format("Usage:  {}\n\n{}\n", usageLine(called, program),
                                command.details.empty() ? command.summary : command.details);
  if (const std::string aliases = aliasLine(tree, command, program); !aliases.empty()) {
    out += fmt::format("\nAliases:\n  {}\n", aliases);
  }
  if (hasVisibleFlags(command)) out += "\nOptions:\n" + flagUsages(command.flags, columns - 1);
  return out;
}

std::string arityError(const Called& called, std::string_view program, size_t count) {
  const auto [least, most] = called.command->arity;
  const bool enough = count >= static_cast<size_t>(least);
  if (enough && (most < 0 || count <= static_cast<size_t>(most))) return "";
  const auto arguments = [](int n) { return fmt::format("{} argument{}", n, n == 1 ? "" : "s"); };
  const std::string wanted = most == 0       ? "accepts no arguments"
                             : least == most ? "requires " + arguments(least)
                             : most < 0      ? "requires at least " + arguments(least)
                             : least == 0    ? "requires at most " + arguments(most)
                                          : fmt::format("requires at least {} and at most {}", least, arguments(most));
  const std::string path = pathText(called, program);
  return fmt::format("{0}: '{1}' {2}\n\nUsage:  {3}\n\n{4} '{1} --help' for more information\n", program, path, wanted,
                     usageLine(called, program), most < 0 ? "See" : "Run");
}

int runCli(const Tree& tree, Cli& cli, std::span<const std::string> argv,
           const std::function<void(const Parsed& globals)>& prepare) {
  const int code = Dispatch(tree, cli, prepare).run(argv.subspan(argv.empty() ? 0 : 1));
  cli.out().flush();
  cli.err().flush();
  return code;
}

}  // namespace estiba::cli
