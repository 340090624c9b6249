#include "sys/netlink.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <unistd.h>

#include <thread>

#include "sys/file.h"

namespace estiba::netlink {
namespace {

using ::testing::HasSubstr;

ifinfomsg anyLink() {
  return ifinfomsg{};
}

std::string link(const char* path) {
  char buffer[256];
  const ssize_t n = ::readlink(path, buffer, sizeof buffer);
  return {buffer, n > 0 ? static_cast<size_t>(n) : 0};
}

TEST(NetlinkRequest, KeepsLengthsAndPadding) {
  Request r;
  r.message(RTM_NEWLINK, NLM_F_ACK).header(anyLink()).text(IFLA_IFNAME, "abc").u8(IFLA_OPERSTATE, 6);
  r.message(RTM_GETLINK, 0).header(anyLink());
  nlmsghdr first{};
  std::memcpy(&first, r.buffer().data(), sizeof first);
  EXPECT_EQ(first.nlmsg_len, 16U + 16U + 8U + 8U);
  EXPECT_EQ(first.nlmsg_flags, NLM_F_ACK | NLM_F_REQUEST);
  EXPECT_EQ(first.nlmsg_seq, 1U);
  EXPECT_EQ(r.buffer().size(), first.nlmsg_len + 32U);
  EXPECT_EQ(r.count(), 2U);
  EXPECT_EQ(r.flagsOf(1), NLM_F_REQUEST);
}

TEST(NetlinkRequest, NestsAreReadBack) {
  Request r;
  r.message(RTM_NEWLINK, 0).header(anyLink());
  r.nest(IFLA_LINKINFO | NLA_F_NESTED,
         [&] { r.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, [&] { r.be32(7, 0x01020304); }); });
  const Attrs attrs(std::string_view(r.buffer()).substr(32));
  const auto info = attrs.nested(IFLA_LINKINFO);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->text(IFLA_INFO_KIND), "veth");
  EXPECT_EQ(info->nested(IFLA_INFO_DATA)->be32(7), 0x01020304U);
  EXPECT_FALSE(info->find(99));
}

TEST(NetlinkRequest, RefusesWhatNoAttributeCanHold) {
  Request r;
  r.message(RTM_NEWLINK, 0).header(anyLink());
  EXPECT_THROW(r.bytes(1, std::string(65532, 'x')), Error);
  EXPECT_THROW(r.nest(2,
                      [&] {
                        r.bytes(1, std::string(40000, 'x'));
                        r.bytes(1, std::string(40000, 'x'));
                      }),
               Error);
  EXPECT_THROW(Request().u32(1, 1), Error);
}

TEST(NetlinkAttrs, StopsAtWhatDoesNotFit) {
  Request r;
  r.message(RTM_NEWLINK, 0).u32(1, 11).u32(2, 22);
  const std::string good = r.buffer().substr(16);
  EXPECT_EQ(Attrs(good).u32(2), 22U);
  for (size_t cut = 0; cut < good.size(); ++cut) {
    const Attrs attrs(std::string_view(good).substr(0, cut));
    EXPECT_FALSE(attrs.u32(2)) << cut;
    EXPECT_EQ(attrs.u32(1).has_value(), cut >= 8) << cut;
  }
  std::string lying = good;
  lying[0] = '\x03';  // shorter than its own header
  EXPECT_FALSE(Attrs(lying).find(1));
  lying[0] = '\x7f';  // longer than the buffer
  EXPECT_FALSE(Attrs(lying).find(1));
  EXPECT_FALSE(Attrs(good).text(3));
  EXPECT_FALSE(Attrs(std::string("\x05\0\x01\0x\0\0\0", 8)).u32(1)) << "one byte is no u32";
}

TEST(NetlinkSocket, DumpListsLoopback) {
  Request r;
  r.message(RTM_GETLINK, NLM_F_DUMP).header(anyLink());
  std::vector<std::string> names;
  Socket::open(NETLINK_ROUTE).dump(r, "list interfaces", [&](const Message& m) {
    names.push_back(m.attrs<ifinfomsg>().text(IFLA_IFNAME).value_or("?"));
  });
  EXPECT_THAT(names, ::testing::Contains("lo"));
}

TEST(NetlinkSocket, RefusalTellsMessageErrnoAndTheKernelsWords) {
  ifinfomsg wrong{};
  wrong.ifi_type = 77;  // not allowed in a strict get
  Request r;
  r.message(RTM_GETLINK, NLM_F_ACK).header(anyLink()).text(IFLA_IFNAME, "lo");
  r.message(RTM_GETLINK, NLM_F_ACK).header(wrong).text(IFLA_IFNAME, "lo");
  try {
    Socket::open(NETLINK_ROUTE).transact(r, "look up 'lo'");
    FAIL() << "accepted";
  } catch (const NetlinkError& e) {
    EXPECT_EQ(e.err(), EINVAL);
    EXPECT_EQ(e.message(), 1U);
    EXPECT_THAT(e.what(), HasSubstr("look up 'lo': Invalid values in header for get link request"));
  }
}

TEST(NetlinkSocket, AttemptGivesOneErrnoAMessage) {
  Request r;
  r.message(RTM_GETLINK, NLM_F_ACK).header(anyLink()).text(IFLA_IFNAME, "lo");
  r.message(RTM_GETLINK, NLM_F_ACK).header(anyLink()).text(IFLA_IFNAME, "nosuchlink0");
  int answers = 0;
  const auto errors = Socket::open(NETLINK_ROUTE).attempt(r, "look", [&](const Message& m) {
    ++answers;
    EXPECT_EQ(m.request, 0U);
  });
  EXPECT_EQ(errors, (std::vector<int>{0, ENODEV}));
  EXPECT_EQ(answers, 1);
}

TEST(NetlinkSocket, OpenInRefusesWhatIsNoNamespace) {
  const Fd file = openFile("/dev/null", O_RDONLY);
  EXPECT_THROW(Socket::openIn(file.get(), NETLINK_ROUTE), SysError);
  EXPECT_THROW(Socket::openIn(-1, NETLINK_ROUTE), SysError);
}

TEST(NetlinkSocket, ROOT_OpenInWorksThereAndLeavesTheCallerHere) {
  Fd netns;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) == 0) netns = openFile("/proc/thread-self/ns/net", O_RDONLY);
  }).join();
  ASSERT_TRUE(netns);
  const std::string before = link("/proc/thread-self/ns/net");
  const Socket inner = Socket::openIn(
      netns.get(), NETLINK_ROUTE, {{"/proc/sys/net/ipv4/ip_default_ttl", "77"}, {"/proc/sys/net/no/such/entry", "1"}});
  EXPECT_EQ(link("/proc/thread-self/ns/net"), before);
  ifinfomsg up{};
  up.ifi_flags = up.ifi_change = 1;  // IFF_UP
  Request r;
  r.message(RTM_NEWLINK, NLM_F_ACK).header(up).text(IFLA_IFNAME, "lo");
  inner.transact(r, "bring lo up");
  Request list;
  list.message(RTM_GETLINK, NLM_F_DUMP).header(anyLink());
  bool sawEth = false;
  inner.dump(list, "list", [&](const Message& m) {
    sawEth |= m.attrs<ifinfomsg>().text(IFLA_IFNAME).value_or("").starts_with("eth");
  });
  EXPECT_FALSE(sawEth);
  std::string ttl;
  std::thread([&] {
    if (::setns(netns.get(), CLONE_NEWNET) == 0) ttl = readFile("/proc/sys/net/ipv4/ip_default_ttl");
  }).join();
  EXPECT_EQ(ttl, "77\n");
  EXPECT_NE(readFile("/proc/sys/net/ipv4/ip_default_ttl"), "77\n");
}

TEST(NetlinkSocket, ROOT_OpenInNamesTheSettingThatFailed) {
  const Fd own = openFile("/proc/thread-self/ns/net", O_RDONLY);
  try {
    Socket::openIn(own.get(), NETLINK_ROUTE, {{"/proc/sys/net", "1"}});
    FAIL() << "accepted";
  } catch (const SysError& e) {
    EXPECT_EQ(e.err(), EISDIR);
    EXPECT_THAT(e.what(), HasSubstr("/proc/sys/net"));
  }
}

}  // namespace
}  // namespace estiba::netlink
