#include "cli/cli.h"

#include <unistd.h>

#include <ostream>

#include "base/error.h"
#include "base/text.h"
#include "cli/terminal.h"

namespace estiba::cli {

Cli::Cli(std::string program, Streams streams) : program_(std::move(program)), streams_(streams) {}
Cli::~Cli() = default;

bool Cli::inIsTerminal() const {
  return isTerminal(streams_.inFd);
}
bool Cli::outIsTerminal() const {
  return isTerminal(streams_.outFd);
}

int Cli::columns() const {
  const auto size = terminalSize(streams_.outFd);
  return size ? static_cast<int>(size->columns) : 80;
}

int Cli::eachArg(const Parsed& parsed, const std::function<void(const std::string&)>& one) {
  int code = 0;
  for (const std::string& arg : parsed.args) {
    try {
      one(arg);
    } catch (const Error& e) {
      out().flush();
      err() << e.what() << '\n';
      code = 1;
    }
  }
  return code;
}

bool Cli::confirm(std::string_view question) {
  out() << question << " [y/N] " << std::flush;
  std::string line;
  // Byte by byte: what follows the line is not ours.
  for (char c = 0; ::read(streams_.inFd, &c, 1) == 1 && c != '\n';) line += c;
  const std::string answer = toLower(trim(line));
  return answer == "y" || answer == "yes";
}

}  // namespace estiba::cli
