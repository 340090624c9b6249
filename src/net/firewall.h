#pragma once
// One nftables table per engine. The rules never change; networks are elements of its sets.
//
//   table inet estiba {
//     set bridges    { type ifname }                     every bridge of ours
//     set natted     { type ifname }                     those whose traffic leaves under the host's address
//     set internal   { type ifname }                     those without a way out
//     map same       { type ifname . ifname : verdict }  from a bridge to itself: accept, or drop (icc=false)
//     chain forward     { answers; published ports; @same; nothing out of @internal; nothing else into @bridges }
//     chain postrouting { iifname @natted oifname != @bridges masquerade }
//   }
//
// An accept here does not override a drop of somebody else's table. Source: linux/netfilter/nf_tables.h, nft(8).

#include <string>
#include <vector>

#include "sys/netlink.h"

namespace estiba::net {

/// What the rules know of a network.
struct FirewallNetwork {
  std::string interface;
  bool masquerade = true;
  bool internal = false;
  bool icc = true;
  bool operator==(const FirewallNetwork&) const = default;
};

class Firewall {
 public:
  /// Throws Error(unavailable), naming what to do, where the kernel has no nfnetlink.
  explicit Firewall(std::string table);

  /// Whether the whole rule set and exactly this network's elements are there: one round of get requests, some 20 us.
  bool present(const FirewallNetwork& network) const;
  /// Puts a network's elements right in a table that is whole; false where it is not (rebuild then). Asks first: a
  /// failed transaction costs 16 ms.
  bool apply(const FirewallNetwork& network) const;
  /// Makes the table with all `networks` in one transaction; one that is there is replaced. The caller holds the
  /// machine's lock. Throws Error(unavailable), naming what to do, where the kernel lacks a part of nf_tables.
  void rebuild(const std::vector<FirewallNetwork>& networks) const;
  /// Takes one network out; missing is fine.
  void remove(const std::string& interface) const;
  /// Deletes the table; missing is fine.
  void removeTable() const;

 private:
  struct Found;
  Found inspect(const std::string& interface) const;

  std::string table_;
  netlink::Socket socket_;
};

}  // namespace estiba::net
