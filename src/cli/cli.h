#pragma once
// What a command works with: streams, the program's name, the terminal.

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "cli/command.h"

namespace estiba::cli {

/// The surroundings of one command. Not owned: streams and descriptors outlive it. One thread.
class Cli {
 public:
  struct Streams {
    std::ostream* out;
    std::ostream* err;
    int inFd = 0;
    int outFd = 1;
    int errFd = 2;
  };
  Cli(std::string program, Streams streams);
  virtual ~Cli();
  Cli(const Cli&) = delete;
  Cli& operator=(const Cli&) = delete;

  const std::string& program() const noexcept { return program_; }  ///< "estiba", or "docker" through a link
  std::ostream& out() { return *streams_.out; }
  std::ostream& err() { return *streams_.err; }
  const Streams& streams() const noexcept { return streams_; }

  bool inIsTerminal() const;
  bool outIsTerminal() const;
  int columns() const;  ///< of the terminal on standard output; 80 where there is none

  /// Calls `one` for every positional argument, goes on after an Error (whose message it prints), returns 0 or 1.
  int eachArg(const Parsed& parsed, const std::function<void(const std::string&)>& one);

  /// Prints `question` and " [y/N] ", reads a line; true for y, Y, yes.
  bool confirm(std::string_view question);

 private:
  std::string program_;
  Streams streams_;
};

}  // namespace estiba::cli
