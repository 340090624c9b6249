#include "sys/bpf_flatten.h"

#include <linux/bpf_common.h>
#include <linux/seccomp.h>

#include <cstddef>
#include <cstring>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"

namespace estiba {

namespace {

using Program = std::vector<sock_filter>;

constexpr uint32_t kNr = offsetof(seccomp_data, nr);
constexpr uint32_t kArch = offsetof(seccomp_data, arch);
constexpr uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS;

[[noreturn]] void unknown(const sock_filter& instruction) {
  fail(Code::invalid, "seccomp: instruction {:#x} is not understood", instruction.code);
}

/// Where a jump leads; nullopt where the instruction is none.
std::optional<size_t> jumpTarget(const sock_filter& i, size_t at, uint32_t a) {
  if (BPF_CLASS(i.code) != BPF_JMP) return std::nullopt;
  if (BPF_OP(i.code) == BPF_JA) return at + 1 + i.k;
  if (BPF_SRC(i.code) != BPF_K) unknown(i);
  bool yes = false;
  switch (BPF_OP(i.code)) {
    case BPF_JEQ:
      yes = a == i.k;
      break;
    case BPF_JGT:
      yes = a > i.k;
      break;
    case BPF_JGE:
      yes = a >= i.k;
      break;
    case BPF_JSET:
      yes = (a & i.k) != 0;
      break;
    default:
      unknown(i);
  }
  return at + 1 + (yes ? i.jt : i.jf);
}

/// What is known before an argument is looked at: an answer, or the instruction that loads the argument.
struct Outcome {
  bool constant = true;
  uint32_t value = 0;  ///< the answer, or the position
  bool operator==(const Outcome&) const = default;
};

Outcome follow(const Program& program, uint32_t arch, uint32_t nr) {
  uint32_t a = 0;
  for (size_t at = 0; at < program.size();) {
    const sock_filter& i = program[at];
    if (i.code == (BPF_RET | BPF_K)) return {true, i.k};
    if (i.code == kLoad) {
      if (i.k != kArch && i.k != kNr) return {false, static_cast<uint32_t>(at)};
      a = i.k == kArch ? arch : nr;
      ++at;
    } else if (const auto next = jumpTarget(i, at, a)) {
      at = *next;
    } else {
      unknown(i);
    }
  }
  fail(Code::invalid, "seccomp: the filter runs off its end");
}

/// Every number that some comparison names, and its successor: between two of them a filter cannot tell numbers apart.
std::set<uint32_t> breakpoints(const Program& program) {
  std::set<uint32_t> out = {0};
  for (const auto& i : program) {
    if (BPF_CLASS(i.code) != BPF_JMP || BPF_OP(i.code) == BPF_JA) continue;
    out.insert(i.k);
    if (i.k != UINT32_MAX) out.insert(i.k + 1);
  }
  return out;
}

enum Source : uint8_t { fromArch = 1, fromNr = 2, fromArgument = 4 };

/// What the accumulator may hold when each instruction is reached (Source bits). Jumps go forward only: one pass.
std::vector<uint8_t> sourcesOf(const Program& program) {
  std::vector<uint8_t> out(program.size() + 1);
  for (size_t at = 0; at < program.size(); ++at) {
    const sock_filter& i = program[at];
    if (BPF_CLASS(i.code) == BPF_RET) continue;
    if (BPF_CLASS(i.code) != BPF_JMP) {
      uint8_t loaded = out[at];
      if (i.code == kLoad && i.k == kArch) {
        loaded = fromArch;
      } else if (i.code == kLoad) {
        loaded = i.k == kNr ? fromNr : fromArgument;
      }
      out[at + 1] |= loaded;
    } else if (BPF_OP(i.code) == BPF_JA) {
      out.at(at + 1 + i.k) |= out[at];
    } else {
      out.at(at + 1 + i.jt) |= out[at];
      out.at(at + 1 + i.jf) |= out[at];
    }
  }
  return out;
}

// Bit operations cut the numbers into other pieces than ranges; libseccomp applies them to arguments only.
bool hasBitTestOnNumbers(const Program& program) {
  const auto sources = sourcesOf(program);
  for (size_t at = 0; at < program.size(); ++at) {
    const uint16_t code = program[at].code;
    const bool bits = BPF_CLASS(code) == BPF_ALU || (BPF_CLASS(code) == BPF_JMP && BPF_OP(code) == BPF_JSET);
    if (bits && (sources[at] & (fromArch | fromNr)) != 0) return true;
  }
  return false;
}

struct Range {
  uint32_t first = 0;
  Outcome outcome;
};

std::vector<Range> rangesOf(const Program& program, const std::set<uint32_t>& points, uint32_t arch) {
  std::vector<Range> out;
  for (const uint32_t first : points) {
    const Outcome outcome = follow(program, arch, first);
    if (out.empty() || out.back().outcome != outcome) out.push_back({first, outcome});
  }
  return out;
}

/// The instructions that can be reached from `start`, in their order, jumps adjusted.
Program extract(const Program& program, size_t start) {
  std::set<size_t> reached = {start};
  for (auto it = reached.begin(); it != reached.end(); ++it) {  // jumps go forward only: what is added comes later
    const sock_filter& i = program.at(*it);
    if (BPF_CLASS(i.code) == BPF_RET) continue;
    if (BPF_CLASS(i.code) != BPF_JMP) {
      reached.insert(*it + 1);
    } else if (BPF_OP(i.code) == BPF_JA) {
      reached.insert(*it + 1 + i.k);
    } else {
      reached.insert({*it + 1 + i.jt, *it + 1 + i.jf});
    }
  }
  std::map<size_t, size_t> place;
  for (const size_t at : reached) place.emplace(at, place.size());
  Program out;
  for (const size_t at : reached) {
    sock_filter i = program[at];
    const auto distance = [&](size_t target) { return place.at(target) - place.at(at) - 1; };
    if (BPF_CLASS(i.code) == BPF_JMP && BPF_OP(i.code) == BPF_JA) {
      i.k = static_cast<uint32_t>(distance(at + 1 + i.k));
    } else if (BPF_CLASS(i.code) == BPF_JMP) {  // fewer instructions in between than before: it still fits
      i.jt = static_cast<uint8_t>(distance(at + 1 + i.jt));
      i.jf = static_cast<uint8_t>(distance(at + 1 + i.jf));
    }
    out.push_back(i);
  }
  return out;
}

void append(Program& to, const Program& from) {
  to.insert(to.end(), from.begin(), from.end());
}

/// "A >= k: `high`, else `low`", whatever their sizes.
Program branch(uint32_t k, const Program& low, const Program& high) {
  Program out;
  if (low.size() <= 255) {
    out.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, k, static_cast<uint8_t>(low.size()), 0));
  } else {
    out.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, k, 0, 1));
    out.push_back(BPF_STMT(BPF_JMP | BPF_JA, static_cast<uint32_t>(low.size())));
  }
  append(out, low);
  append(out, high);
  return out;
}

Program search(const Program& program, const std::vector<Range>& ranges, size_t begin, size_t end) {
  if (end - begin == 1) {
    const Outcome& outcome = ranges[begin].outcome;
    if (outcome.constant) return {BPF_STMT(BPF_RET | BPF_K, outcome.value)};
    return extract(program, outcome.value);
  }
  const size_t middle = begin + (end - begin) / 2;
  return branch(ranges[middle].first, search(program, ranges, begin, middle), search(program, ranges, middle, end));
}

Program searchOf(const Program& program, const std::vector<Range>& ranges) {
  Program out = {BPF_STMT(kLoad, kNr)};
  append(out, search(program, ranges, 0, ranges.size()));
  return out;
}

/// The architectures that the program asks for.
std::set<uint32_t> architectures(const Program& program) {
  const auto sources = sourcesOf(program);
  std::set<uint32_t> out;
  for (size_t at = 0; at < program.size(); ++at) {
    const bool compares = BPF_CLASS(program[at].code) == BPF_JMP && BPF_OP(program[at].code) != BPF_JA;
    if (compares && (sources[at] & fromArch) != 0) out.insert(program[at].k);
  }
  return out;
}

}  // namespace

uint32_t runFilter(const Program& program, const seccomp_data& data) {
  uint32_t a = 0;
  for (size_t at = 0; at < program.size();) {
    const sock_filter& i = program[at];
    if (i.code == (BPF_RET | BPF_K)) return i.k;
    if (i.code == kLoad) {
      if (i.k + sizeof a > sizeof data) unknown(i);
      std::memcpy(&a, reinterpret_cast<const char*>(&data) + i.k, sizeof a);
      ++at;
    } else if (i.code == (BPF_ALU | BPF_AND | BPF_K)) {
      a &= i.k;
      ++at;
    } else if (const auto next = jumpTarget(i, at, a)) {
      at = *next;
    } else {
      unknown(i);
    }
  }
  fail(Code::invalid, "seccomp: the filter runs off its end");
}

Program flattenFilter(const Program& program) {
  if (hasBitTestOnNumbers(program)) return program;
  const auto points = breakpoints(program);
  const auto known = architectures(program);
  uint32_t other = 0;  // stands for every architecture that is not named
  while (known.contains(other)) ++other;
  Program out = searchOf(program, rangesOf(program, points, other));
  for (const uint32_t arch : known) {
    const Program own = searchOf(program, rangesOf(program, points, arch));
    Program next = {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 0, 1),
                    BPF_STMT(BPF_JMP | BPF_JA, static_cast<uint32_t>(out.size()))};
    append(next, out);
    append(next, own);
    out = std::move(next);
  }
  out.insert(out.begin(), BPF_STMT(kLoad, kArch));
  return out;
}

}  // namespace estiba
