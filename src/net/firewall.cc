#include "net/firewall.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <net/if.h>

#include <optional>

namespace estiba::net {

namespace {

using netlink::Attrs;
using netlink::Message;
using netlink::Request;
using netlink::Socket;

// Changed with every change of the rules: a table of another version is replaced. Stands in the table's comment.
constexpr std::string_view kVersion = "estiba rules 1";
constexpr uint32_t kForwardRules = 5;
constexpr uint32_t kPostroutingRules = 1;

// nft's numbers for data types, by which `nft list ruleset` prints them; a concatenation has six bits for each.
constexpr uint32_t kTypeIfname = 41;
constexpr uint32_t kTypeIfnamePair = kTypeIfname << 6 | kTypeIfname;

constexpr const char* kBridges = "bridges";
constexpr const char* kNatted = "natted";
constexpr const char* kInternal = "internal";
constexpr const char* kSame = "same";
constexpr const char* kForward = "forward";
constexpr const char* kPostrouting = "postrouting";

uint16_t typeOf(int message) {
  return static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message);
}

nfgenmsg family(uint8_t af = NFPROTO_INET) {
  nfgenmsg out{};
  out.nfgen_family = af;
  out.version = NFNETLINK_V0;
  return out;
}

// An interface's name as the kernel compares it: 16 bytes, zeroes to the end.
std::string ifname(const std::string& name) {
  std::string out = name;
  out.resize(IFNAMSIZ, '\0');
  return out;
}

std::string pair(const std::string& name) {
  return ifname(name) + ifname(name);
}

// Messages between the marks of one transaction: all or none.
class Batch {
 public:
  explicit Batch(std::string table) : table_(std::move(table)) { mark(NFNL_MSG_BATCH_BEGIN); }
  Request& add(int message, int flags) {
    return request_.message(typeOf(message), static_cast<uint16_t>(flags)).header(family());
  }
  Request& request() { return request_; }
  const std::string& table() const { return table_; }
  /// Ends the transaction. Errors come for whichever message failed; nobody asks for acks: silence is success.
  const Request& finish() {
    mark(NFNL_MSG_BATCH_END);
    return request_;
  }

 private:
  void mark(int message) {
    nfgenmsg header = family(AF_UNSPEC);
    header.res_id = htons(NFNL_SUBSYS_NFTABLES);
    request_.message(static_cast<uint16_t>(message), 0).header(header);
  }
  std::string table_;
  Request request_;
};

void addSet(Batch& batch, const char* name, uint32_t id, bool isPairMap) {
  Request& r = batch.add(NFT_MSG_NEWSET, NLM_F_CREATE);
  r.text(NFTA_SET_TABLE, batch.table())
      .text(NFTA_SET_NAME, name)
      .be32(NFTA_SET_ID, id)
      .be32(NFTA_SET_FLAGS, isPairMap ? NFT_SET_MAP : 0)
      .be32(NFTA_SET_KEY_TYPE, isPairMap ? kTypeIfnamePair : kTypeIfname)
      .be32(NFTA_SET_KEY_LEN, isPairMap ? 2 * IFNAMSIZ : IFNAMSIZ);
  if (isPairMap) r.be32(NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
}

void putElement(Request& r, const std::string& table, const char* set, const std::string& key,
                std::optional<uint32_t> verdict = {}) {
  r.text(NFTA_SET_ELEM_LIST_TABLE, table).text(NFTA_SET_ELEM_LIST_SET, set);
  r.nest(NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED, [&] {
    r.nest(NFTA_LIST_ELEM | NLA_F_NESTED, [&] {
      r.nest(NFTA_SET_ELEM_KEY | NLA_F_NESTED, [&] { r.bytes(NFTA_DATA_VALUE, key); });
      if (!verdict) return;
      r.nest(NFTA_SET_ELEM_DATA | NLA_F_NESTED,
             [&] { r.nest(NFTA_DATA_VERDICT | NLA_F_NESTED, [&] { r.be32(NFTA_VERDICT_CODE, *verdict); }); });
    });
  });
}

void addElement(Batch& batch, const char* set, const std::string& key, std::optional<uint32_t> verdict = {}) {
  putElement(batch.add(NFT_MSG_NEWSETELEM, NLM_F_CREATE), batch.table(), set, key, verdict);
}

void removeElement(Batch& batch, const char* set, const std::string& key) {
  putElement(batch.add(NFT_MSG_DELSETELEM, 0), batch.table(), set, key);
}

uint32_t sameVerdict(const FirewallNetwork& network) {
  return network.icc ? NF_ACCEPT : NF_DROP;
}

void addNetwork(Batch& batch, const FirewallNetwork& network) {
  const std::string key = ifname(network.interface);
  addElement(batch, kBridges, key);
  if (network.masquerade) addElement(batch, kNatted, key);
  if (network.internal) addElement(batch, kInternal, key);
  addElement(batch, kSame, pair(network.interface), sameVerdict(network));
}

void addChain(Batch& batch, const char* name, const char* type, uint32_t hook, int32_t priority) {
  Request& r = batch.add(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
  r.text(NFTA_CHAIN_TABLE, batch.table()).text(NFTA_CHAIN_NAME, name);
  r.nest(NFTA_CHAIN_HOOK | NLA_F_NESTED,
         [&] { r.be32(NFTA_HOOK_HOOKNUM, hook).be32(NFTA_HOOK_PRIORITY, static_cast<uint32_t>(priority)); });
  r.be32(NFTA_CHAIN_POLICY, NF_ACCEPT).text(NFTA_CHAIN_TYPE, type);
}

// The expressions of one rule, as the kernel's virtual machine takes them.
class Rule {
 public:
  Rule(Batch& batch, const char* chain) : r_(batch.add(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND)) {
    r_.text(NFTA_RULE_TABLE, batch.table()).text(NFTA_RULE_CHAIN, chain);
  }
  template <class F>
  void is(F&& expressions) {
    r_.nest(NFTA_RULE_EXPRESSIONS | NLA_F_NESTED, [&] { expressions(*this); });
  }

  Rule& meta(uint32_t key, uint32_t reg = NFT_REG_1) {
    return expression("meta", [&] { r_.be32(NFTA_META_DREG, reg).be32(NFTA_META_KEY, key); });
  }
  Rule& in(const char* set, bool inverted = false) {
    return expression("lookup", [&] {
      r_.text(NFTA_LOOKUP_SET, set).be32(NFTA_LOOKUP_SREG, NFT_REG_1);
      if (inverted) r_.be32(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
    });
  }
  Rule& verdictFrom(const char* map) {
    return expression("lookup", [&] {
      r_.text(NFTA_LOOKUP_SET, map).be32(NFTA_LOOKUP_SREG, NFT_REG_1).be32(NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
    });
  }
  // True where `key` of the connection has one of `bits`.
  Rule& ctHas(uint32_t key, uint32_t bits) {
    expression("ct", [&] { r_.be32(NFTA_CT_DREG, NFT_REG_1).be32(NFTA_CT_KEY, key); });
    expression("bitwise", [&] {
      r_.be32(NFTA_BITWISE_SREG, NFT_REG_1).be32(NFTA_BITWISE_DREG, NFT_REG_1).be32(NFTA_BITWISE_LEN, sizeof bits);
      r_.nest(NFTA_BITWISE_MASK | NLA_F_NESTED, [&] { r_.u32(NFTA_DATA_VALUE, bits); });
      r_.nest(NFTA_BITWISE_XOR | NLA_F_NESTED, [&] { r_.u32(NFTA_DATA_VALUE, 0); });
    });
    return compare(NFT_CMP_NEQ, std::string(sizeof bits, '\0'));
  }
  Rule& compare(uint32_t operation, const std::string& with) {
    return expression("cmp", [&] {
      r_.be32(NFTA_CMP_SREG, NFT_REG_1).be32(NFTA_CMP_OP, operation);
      r_.nest(NFTA_CMP_DATA | NLA_F_NESTED, [&] { r_.bytes(NFTA_DATA_VALUE, with); });
    });
  }
  Rule& verdict(uint32_t code) {
    return expression("immediate", [&] {
      r_.be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
      r_.nest(NFTA_IMMEDIATE_DATA | NLA_F_NESTED,
              [&] { r_.nest(NFTA_DATA_VERDICT | NLA_F_NESTED, [&] { r_.be32(NFTA_VERDICT_CODE, code); }); });
    });
  }
  Rule& masquerade() {
    return expression("masq", [] {});
  }

 private:
  template <class F>
  Rule& expression(const char* name, F&& data) {
    r_.nest(NFTA_LIST_ELEM | NLA_F_NESTED,
            [&] { r_.text(NFTA_EXPR_NAME, name).nest(NFTA_EXPR_DATA | NLA_F_NESTED, data); });
    return *this;
  }
  Request& r_;
};

void addRules(Batch& batch) {
  Rule(batch, kForward).is([](Rule& r) {
    r.ctHas(NFT_CT_STATE, NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED)).verdict(NF_ACCEPT);
  });
  Rule(batch, kForward).is([](Rule& r) {  // a published port
    r.ctHas(NFT_CT_STATUS, IPS_DST_NAT).meta(NFT_META_IIFNAME).in(kInternal, true);
    r.meta(NFT_META_OIFNAME).in(kInternal, true).verdict(NF_ACCEPT);
  });
  Rule(batch, kForward).is([](Rule& r) {
    r.meta(NFT_META_IIFNAME, NFT_REG_1).meta(NFT_META_OIFNAME, NFT_REG_2).verdictFrom(kSame);
  });
  Rule(batch, kForward).is([](Rule& r) { r.meta(NFT_META_IIFNAME).in(kInternal).verdict(NF_DROP); });
  Rule(batch, kForward).is([](Rule& r) { r.meta(NFT_META_OIFNAME).in(kBridges).verdict(NF_DROP); });
  Rule(batch, kPostrouting).is([](Rule& r) {
    r.meta(NFT_META_NFPROTO).compare(NFT_CMP_EQ, std::string(1, NFPROTO_IPV4));
    r.meta(NFT_META_IIFNAME).in(kNatted).meta(NFT_META_OIFNAME).in(kBridges, true).masquerade();
  });
}

// A comment as nft stores it: type, length, text with its zero.
std::string comment(std::string_view text) {
  std::string out{'\0', static_cast<char>(text.size() + 1)};
  out.append(text);
  out += '\0';
  return out;
}

[[noreturn]] void explain(const netlink::NetlinkError& e) {
  switch (e.err()) {
    case EOPNOTSUPP:
    case ENOENT:
    case EPROTONOSUPPORT:
    case EINVAL:
      throw Error(Code::unavailable,
                  fmt::format("{}: the kernel lacks a part of nf_tables (load nf_tables, nft_chain_nat, nft_masq and "
                              "nft_ct, or set \"iptables\": false and filter by other means)",
                              e.what()));
    case EPERM:
      throw Error(Code::forbidden, fmt::format("{}: CAP_NET_ADMIN is needed", e.what()));
    default:
      throw;
  }
}

Socket openNetfilter() {
  try {
    return Socket::open(NETLINK_NETFILTER);
  } catch (const SysError& e) {
    if (e.err() != EPROTONOSUPPORT) throw;
    throw Error(Code::unavailable, fmt::format("{}: the kernel has no nfnetlink (modprobe nfnetlink nf_tables), needed "
                                               "for NAT; or set \"iptables\": false",
                                               e.what()));
  }
}

void transact(const Socket& socket, Batch& batch, const std::string& what) {
  try {
    socket.transact(batch.finish(), what);
  } catch (const netlink::NetlinkError& e) {
    explain(e);
  }
}

}  // namespace

// What the kernel holds of ours, and of one network.
struct Firewall::Found {
  bool table = false;
  bool version = false;
  uint32_t forwardRules = 0, postroutingRules = 0;
  bool bridges = false, masquerade = false, internal = false;
  std::optional<uint32_t> same;

  bool whole() const {
    return table && version && forwardRules == kForwardRules && postroutingRules == kPostroutingRules;
  }
  bool fits(const FirewallNetwork& network) const {
    return bridges && masquerade == network.masquerade && internal == network.internal && same == sameVerdict(network);
  }
};

Firewall::Firewall(std::string table) : table_(std::move(table)), socket_(openNetfilter()) {}

Firewall::Found Firewall::inspect(const std::string& interface) const {
  Request r;
  const auto get = [&](int message) -> Request& { return r.message(typeOf(message), NLM_F_ACK).header(family()); };
  get(NFT_MSG_GETTABLE).text(NFTA_TABLE_NAME, table_);
  get(NFT_MSG_GETCHAIN).text(NFTA_CHAIN_TABLE, table_).text(NFTA_CHAIN_NAME, kForward);
  get(NFT_MSG_GETCHAIN).text(NFTA_CHAIN_TABLE, table_).text(NFTA_CHAIN_NAME, kPostrouting);
  putElement(get(NFT_MSG_GETSETELEM), table_, kBridges, ifname(interface));
  putElement(get(NFT_MSG_GETSETELEM), table_, kNatted, ifname(interface));
  putElement(get(NFT_MSG_GETSETELEM), table_, kInternal, ifname(interface));
  putElement(get(NFT_MSG_GETSETELEM), table_, kSame, pair(interface));
  Found found;
  const auto errors = socket_.attempt(r, "look at the firewall", [&](const Message& m) {
    const Attrs attrs = m.attrs<nfgenmsg>();
    if (m.request == 0) found.version = attrs.find(NFTA_TABLE_USERDATA) == comment(kVersion);
    if (m.request == 1) found.forwardRules = attrs.be32(NFTA_CHAIN_USE).value_or(0);
    if (m.request == 2) found.postroutingRules = attrs.be32(NFTA_CHAIN_USE).value_or(0);
    if (m.request != 6) return;
    auto nested = attrs.nested(NFTA_SET_ELEM_LIST_ELEMENTS);
    for (const int level : {int{NFTA_LIST_ELEM}, int{NFTA_SET_ELEM_DATA}, int{NFTA_DATA_VERDICT}}) {
      if (nested) nested = nested->nested(static_cast<uint16_t>(level));
    }
    if (nested) found.same = nested->be32(NFTA_VERDICT_CODE);
  });
  for (const int error : errors) {
    if (error != 0 && error != ENOENT && error != EOPNOTSUPP) {
      throw SysError(error, fmt::format("look at firewall table '{}'", table_));
    }
  }
  found.table = errors[0] == 0;
  found.bridges = errors[3] == 0;
  found.masquerade = errors[4] == 0;
  found.internal = errors[5] == 0;
  return found;
}

bool Firewall::present(const FirewallNetwork& network) const {
  const Found found = inspect(network.interface);
  return found.whole() && found.fits(network);
}

bool Firewall::apply(const FirewallNetwork& network) const {
  const Found found = inspect(network.interface);
  if (!found.whole()) return false;
  if (found.fits(network)) return true;
  Batch batch(table_);
  const std::string key = ifname(network.interface);
  if (found.bridges) removeElement(batch, kBridges, key);
  if (found.masquerade) removeElement(batch, kNatted, key);
  if (found.internal) removeElement(batch, kInternal, key);
  if (found.same) removeElement(batch, kSame, pair(network.interface));
  addNetwork(batch, network);
  transact(socket_, batch, fmt::format("add '{}' to firewall table '{}'", network.interface, table_));
  return true;
}

void Firewall::rebuild(const std::vector<FirewallNetwork>& networks) const {
  Batch batch(table_);
  if (inspect("lo").table) batch.add(NFT_MSG_DELTABLE, 0).text(NFTA_TABLE_NAME, table_);
  batch.add(NFT_MSG_NEWTABLE, NLM_F_CREATE).text(NFTA_TABLE_NAME, table_).bytes(NFTA_TABLE_USERDATA, comment(kVersion));
  addSet(batch, kBridges, 1, false);
  addSet(batch, kNatted, 2, false);
  addSet(batch, kInternal, 3, false);
  addSet(batch, kSame, 4, true);
  addChain(batch, kForward, "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER);
  addChain(batch, kPostrouting, "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC);
  addRules(batch);
  for (const auto& network : networks) addNetwork(batch, network);
  transact(socket_, batch, fmt::format("make firewall table '{}'", table_));
}

void Firewall::remove(const std::string& interface) const {
  const Found found = inspect(interface);
  Batch batch(table_);
  const std::string key = ifname(interface);
  if (found.bridges) removeElement(batch, kBridges, key);
  if (found.masquerade) removeElement(batch, kNatted, key);
  if (found.internal) removeElement(batch, kInternal, key);
  if (found.same) removeElement(batch, kSame, pair(interface));
  if (batch.request().count() == 1) return;
  transact(socket_, batch, fmt::format("take '{}' out of firewall table '{}'", interface, table_));
}

void Firewall::removeTable() const {
  if (!inspect("lo").table) return;
  Batch batch(table_);
  batch.add(NFT_MSG_DELTABLE, 0).text(NFTA_TABLE_NAME, table_);
  transact(socket_, batch, fmt::format("delete firewall table '{}'", table_));
}

}  // namespace estiba::net
