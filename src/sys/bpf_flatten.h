#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <vector>

struct seccomp_data;

namespace estiba {

/// What a seccomp filter answers for `data`, by interpretation. Throws Error(invalid) for what classic BPF of
/// libseccomp does not contain (index register, scratch memory, packet loads).
uint32_t runFilter(const std::vector<sock_filter>& program, const seccomp_data& data);

/// A program with the same answers, for every input, that is shorter and quicker to load: per architecture one binary
/// search over ranges of system calls with the same answer; what depends on arguments is kept as it was.
/// The kernel runs a new filter for every system call number, so that depth and length are what loading costs.
std::vector<sock_filter> flattenFilter(const std::vector<sock_filter>& program);

}  // namespace estiba
