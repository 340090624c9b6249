#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "runtime/cgroup_limits.h"
#include "sys/file.h"

namespace estiba::runtime {

namespace {

// Registers: r1 context, r2 type, r3 access, r4 major, r5 minor, r0 verdict, r6 scratch.
bpf_insn loadWord(uint8_t to, int16_t offset) {
  return {BPF_LDX | BPF_W | BPF_MEM, to, BPF_REG_1, offset, 0};
}
bpf_insn alu32(uint8_t op, uint8_t reg, int32_t value) {
  return {static_cast<uint8_t>(BPF_ALU | op | BPF_K), reg, 0, 0, value};
}
bpf_insn move32(uint8_t to, uint8_t from) {
  return {BPF_ALU | BPF_MOV | BPF_X, to, from, 0, 0};
}
bpf_insn jumpUnless(uint8_t reg, int32_t value, int16_t distance) {
  return {BPF_JMP | BPF_JNE | BPF_K, reg, 0, distance, value};
}
constexpr bpf_insn kExit = {BPF_JMP | BPF_EXIT, 0, 0, 0, 0};

uint32_t accessMask(const std::string& access) {
  uint32_t mask = 0;
  for (const char c : access) {
    if (c == 'r') mask |= BPF_DEVCG_ACC_READ;
    if (c == 'w') mask |= BPF_DEVCG_ACC_WRITE;
    if (c == 'm') mask |= BPF_DEVCG_ACC_MKNOD;
  }
  return mask;
}

// "If type, access and numbers match: return the verdict", else fall through to the next rule.
void addRule(std::vector<bpf_insn>& program, const oci::LinuxDeviceCgroup& rule) {
  constexpr uint32_t kAllAccess = BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD;
  std::vector<bpf_insn> block;
  std::vector<size_t> exits;  // jumps that leave the block
  const auto unless = [&](uint8_t reg, int32_t value) {
    exits.push_back(block.size());
    block.push_back(jumpUnless(reg, value, 0));
  };
  const std::string type = rule.type.value_or("a");
  if (type == "b") unless(BPF_REG_2, BPF_DEVCG_DEV_BLOCK);
  if (type == "c" || type == "u") unless(BPF_REG_2, BPF_DEVCG_DEV_CHAR);
  const std::string access = rule.access.value_or("");
  const uint32_t mask = access.empty() ? kAllAccess : accessMask(access);
  if (mask != kAllAccess) {
    // An allowing rule must cover all that is asked for; a denying one bites where it covers any of it.
    block.push_back(move32(BPF_REG_6, BPF_REG_3));
    block.push_back(alu32(BPF_AND, BPF_REG_6, static_cast<int32_t>(rule.allow ? kAllAccess & ~mask : mask)));
    if (rule.allow) {
      unless(BPF_REG_6, 0);
    } else {
      exits.push_back(block.size());
      block.push_back({BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_6, 0, 0, 0});
    }
  }
  if (rule.major.value_or(-1) >= 0) unless(BPF_REG_4, static_cast<int32_t>(*rule.major));
  if (rule.minor.value_or(-1) >= 0) unless(BPF_REG_5, static_cast<int32_t>(*rule.minor));
  block.push_back(alu32(BPF_MOV, BPF_REG_0, rule.allow ? 1 : 0));
  block.push_back(kExit);
  for (const size_t at : exits) block[at].off = static_cast<int16_t>(block.size() - at - 1);
  program.insert(program.end(), block.begin(), block.end());
}

// A rule without conditions decides all that comes after it; the verifier refuses code that cannot be reached.
bool matchesAll(const oci::LinuxDeviceCgroup& rule) {
  const std::string access = rule.access.value_or("");
  return rule.type.value_or("a") == "a" && rule.major.value_or(-1) < 0 && rule.minor.value_or(-1) < 0 &&
         (access.empty() || accessMask(access) == (BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD));
}

std::vector<bpf_insn> programOf(const std::vector<oci::LinuxDeviceCgroup>& rules) {
  std::vector<bpf_insn> program = {
      loadWord(BPF_REG_2, 0),  // access_type: low half the type, high half the access
      alu32(BPF_AND, BPF_REG_2, 0xFFFF),
      loadWord(BPF_REG_3, 0),
      alu32(BPF_RSH, BPF_REG_3, 16),
      loadWord(BPF_REG_4, 4),
      loadWord(BPF_REG_5, 8),
  };
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    addRule(program, *rule);
    if (matchesAll(*rule)) return program;
  }
  program.push_back(alu32(BPF_MOV, BPF_REG_0, 1));
  program.push_back(kExit);
  return program;
}

}  // namespace

void attachDeviceProgram(const std::string& dir, const std::vector<oci::LinuxDeviceCgroup>& rules) {
  const auto program = programOf(effectiveDeviceRules(rules));
  const Fd group = openFile(dir, O_RDONLY | O_DIRECTORY);
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.insns = reinterpret_cast<uintptr_t>(program.data());
  load.insn_cnt = static_cast<uint32_t>(program.size());
  load.license = reinterpret_cast<uintptr_t>("GPL");
  const Fd fd(static_cast<int>(
      sys([&] { return ::syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load); }, "load the device program")));
  bpf_attr attach{};
  attach.target_fd = static_cast<uint32_t>(group.get());
  attach.attach_bpf_fd = static_cast<uint32_t>(fd.get());
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  sys([&] { return ::syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach); }, "attach the device program to '{}'",
      dir);
}

}  // namespace estiba::runtime
