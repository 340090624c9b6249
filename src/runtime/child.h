#pragma once
// What the first steps of a container's init and of an exec have in common, in the child.

#include <string>
#include <vector>

#include "base/fd.h"
#include "runtime/channel.h"
#include "runtime/rootfs.h"

namespace estiba::runtime {

/// Not to be traced or looked into until execve; default signal handling, nothing blocked; a session of its own.
void becomeUndumpable();
void resetSignals();
/// Moves `stdio` to 0, 1, 2 and each of `kept` to 3, 4…; closes all other descriptors, whatever they are, and writes
/// the new numbers back.
void keepOnly(const int (&stdio)[3], const std::vector<int*>& kept);
/// User and group 0 of the user namespace that it is in; without the groups of the outside.
void becomeNamespaceRoot();
/// Makes the slave the controlling terminal and 0, 1, 2; sends the master to the parent.
void useConsole(Console console, const Channel& channel);
/// Adds HOME where `env` has none.
void addHome(std::vector<std::string>& env, const std::string& home);
/// oom_score_adj of another process, by its parent. A refusal is a warning.
void setOomScore(pid_t pid, int score, std::vector<std::string>& warnings);
/// Reads reports until `wanted` comes. Warnings and the console are put where they belong; a failure, or the end of the
/// stream, reaps `pid` and throws StageError; the end is an answer where `wanted` is 0.
void awaitReport(const Channel& channel, pid_t pid, uint32_t wanted, std::vector<std::string>& warnings, Fd& console);

}  // namespace estiba::runtime
