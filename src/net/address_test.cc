#include "net/address.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

namespace estiba::net {
namespace {

TEST(Ip, ReadsAndPrintsBothFamilies) {
  EXPECT_EQ(Ip::parse("172.17.0.2")->text(), "172.17.0.2");
  EXPECT_EQ(Ip::parse("2001:DB8::0:1")->text(), "2001:db8::1");
  EXPECT_EQ(Ip::parse("::1")->family(), AF_INET6);
  for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4 ", "fe80::1%eth0", "host"}) {
    EXPECT_FALSE(Ip::parse(bad)) << bad;
  }
  EXPECT_FALSE(Ip::parse(std::string_view("1.2.3.4\0", 8)));
  EXPECT_EQ(Ip().text(), "");
}

TEST(Ip, KeySortsAsTheAddressDoesAndComesBack) {
  const Ip low = *Ip::parse("9.255.0.1");
  const Ip high = *Ip::parse("172.17.0.2");
  EXPECT_LT(low.key(), high.key());
  EXPECT_EQ(high.key(), "ac110002");
  EXPECT_EQ(Ip::fromKey("ac110002"), high);
  EXPECT_EQ(Ip::fromKey(Ip::parse("2001:db8::5")->key()), Ip::parse("2001:db8::5"));
  EXPECT_FALSE(Ip::fromKey("zz110002"));
  EXPECT_FALSE(Ip::fromKey("ac1100"));
}

TEST(Ip, CountsOnAndBack) {
  EXPECT_EQ(Ip::parse("172.17.0.255")->plus(1).text(), "172.17.1.0");
  EXPECT_EQ(Ip::parse("172.17.1.0")->plus(-1).text(), "172.17.0.255");
  EXPECT_EQ(Ip::parse("2001:db8::ffff")->plus(1).text(), "2001:db8::1:0");
  EXPECT_EQ(Ip::parse("10.0.1.0")->minus(*Ip::parse("10.0.0.0")), 256);
}

TEST(Ip, KnowsLoopback) {
  EXPECT_TRUE(Ip::parse("127.0.0.53")->isLoopback());
  EXPECT_TRUE(Ip::parse("::1")->isLoopback());
  EXPECT_FALSE(Ip::parse("128.0.0.1")->isLoopback());
  EXPECT_FALSE(Ip::parse("::2")->isLoopback());
  EXPECT_FALSE(Ip().isLoopback());
}

TEST(Subnet, ClearsHostBitsAndRefusesNonsense) {
  EXPECT_EQ(Subnet::parse("172.17.3.4/16")->text(), "172.17.0.0/16");
  EXPECT_EQ(Subnet::parse("10.1.2.3/9")->text(), "10.0.0.0/9");
  EXPECT_EQ(Subnet::parse("2001:db8:1:2::3/64")->text(), "2001:db8:1:2::/64");
  for (const char* bad : {"", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "/16", "x/8"}) {
    EXPECT_FALSE(Subnet::parse(bad)) << bad;
  }
}

TEST(Subnet, ContainsAndOverlaps) {
  const Subnet a = *Subnet::parse("172.16.0.0/12");
  const Subnet b = *Subnet::parse("172.31.77.0/24");
  const Subnet c = *Subnet::parse("172.32.0.0/16");
  EXPECT_TRUE(a.overlaps(b));
  EXPECT_TRUE(b.overlaps(a));
  EXPECT_FALSE(a.overlaps(c));
  EXPECT_FALSE(b.overlaps(c));
  EXPECT_TRUE(b.contains(*Ip::parse("172.31.77.255")));
  EXPECT_FALSE(b.contains(*Ip::parse("172.31.78.0")));
  EXPECT_FALSE(a.overlaps(*Subnet::parse("::/0")));
  EXPECT_FALSE(Subnet().overlaps(a));
}

TEST(Subnet, HostsLeaveOutNetworkAndBroadcast) {
  EXPECT_EQ(Subnet::parse("10.0.0.0/24")->firstHost().text(), "10.0.0.1");
  EXPECT_EQ(Subnet::parse("10.0.0.0/24")->lastHost().text(), "10.0.0.254");
  EXPECT_EQ(Subnet::parse("10.0.0.0/30")->lastHost().text(), "10.0.0.2");
  EXPECT_EQ(Subnet::parse("10.0.0.0/31")->firstHost().text(), "10.0.0.0");
  EXPECT_EQ(Subnet::parse("10.0.0.0/31")->lastHost().text(), "10.0.0.1");
  EXPECT_EQ(Subnet::parse("10.0.0.7/32")->lastHost().text(), "10.0.0.7");
}

TEST(Mac, ReadsPrintsAndFollowsTheAddress) {
  EXPECT_EQ(Mac::fromIp(*Ip::parse("172.17.0.2")).text(), "02:42:ac:11:00:02");
  EXPECT_EQ(Mac::parse("02-42-AC-11-00-02")->text(), "02:42:ac:11:00:02");
  for (const char* bad : {"", "02:42:ac:11:00", "02:42:ac:11:00:0g", "02:42:ac:11:00:022", "02.42.ac.11.00.02"}) {
    EXPECT_FALSE(Mac::parse(bad)) << bad;
  }
}

}  // namespace
}  // namespace estiba::net
