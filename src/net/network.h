#pragma once
// Networks and endpoints: rows, and what they need on the host. One service per engine root.

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "db/db.h"
#include "net/address.h"

namespace estiba::net {

extern const db::Schema kSchema;

inline constexpr const char* kDefaultRoot = "/var/lib/estiba";

/// A range that subnets are cut from when none is asked for ("default-address-pools").
struct AddressPool {
  Subnet base;
  int size = 16;  ///< prefix length of each subnet
};
/// Docker's: 172.17.0.0/16 … 172.31.0.0/16, then /20s of 192.168.0.0/16.
std::vector<AddressPool> defaultAddressPools();

/// What the daemon's configuration says about networks. Names as in daemon.json.
struct Options {
  std::string root = kDefaultRoot;                ///< which engine: names its bridge and its firewall table
  std::string lockPath = "/run/estiba-net.lock";  ///< between all engines of the machine
  std::optional<std::string> bip;                 ///< "10.1.0.1/16": gateway and subnet of the default bridge
  int mtu = 0;                                    ///< 0: that of the default route's interface
  bool icc = true;                                ///< containers of the default bridge may talk to each other
  bool ipForward = true;                          ///< switch net.ipv4.ip_forward on
  bool ipTables = true;                           ///< keep firewall rules at all
  bool ipMasq = true;                             ///< NAT on the default bridge
  std::vector<AddressPool> pools = defaultAddressPools();
};

/// The default bridge's interface: "estiba0", for another root "eb-" and 8 hex digits of its path's SHA-256.
std::string defaultBridgeName(const std::string& root);
/// The firewall table: "estiba" or "estiba_" and the same digits.
std::string firewallTableName(const std::string& root);

struct Occupied;  // net/bridge.h

struct Network {
  std::string id;  ///< 64 hex digits
  std::string name;
  std::string driver;  ///< bridge, host, null
  Time created;
  std::string interface;  ///< the bridge on the host; "" for host and none
  Subnet subnet;          ///< empty for host and none
  Ip gateway;
  std::optional<Subnet> ipRange;                    ///< addresses are taken from here only
  std::map<std::string, std::string> auxAddresses;  ///< name -> address, never given out
  bool subnetAsked = false;                         ///< by the user; otherwise it may move while nobody uses it
  bool internal = false;                            ///< no way out
  bool attachable = false;
  std::map<std::string, std::string> options, labels;

  bool predefined() const { return name == "bridge" || name == "host" || name == "none"; }
  bool icc() const;         ///< com.docker.network.bridge.enable_icc, true unless it says otherwise
  bool masquerade() const;  ///< com.docker.network.bridge.enable_ip_masquerade and not internal
  int mtu() const;          ///< com.docker.network.driver.mtu, 0 where it is not said
};

struct NetworkSpec {
  std::string name;
  std::string driver = "bridge";
  std::optional<std::string> subnet, gateway, ipRange;  ///< "10.1.0.0/24", "10.1.0.1", "10.1.0.128/25"
  std::map<std::string, std::string> auxAddresses;
  bool internal = false, attachable = false, ipv6 = false;
  std::map<std::string, std::string> options, labels;
};

/// A container's place in a network: NetworkSettings.Networks.NAME of `inspect`. For host and none only the ids are
/// set.
struct Endpoint {
  std::string id;  ///< EndpointID, 64 hex digits
  std::string networkId, networkName, driver;
  std::string containerId;
  std::string bridge;         ///< the interface on the host that it hangs on
  std::string hostInterface;  ///< the pair's end on the host: "veth" and 10 digits of the id
  std::string interface = "eth0";
  Ip address;         ///< IPAddress
  int prefixLen = 0;  ///< IPPrefixLen
  Ip gateway;         ///< Gateway; empty where there is no way out (internal)
  Mac mac;            ///< MacAddress
  int mtu = 0;
  bool ipv6 = false;
  bool icc = true;  ///< false: cannot reach the other containers of this network
  std::vector<std::string> aliases;
};

struct ConnectSpec {
  std::string containerId;
  std::string network = "bridge";  ///< name, id or prefix of an id
  std::optional<std::string> address;
  std::optional<std::string> mac;
  std::vector<std::string> aliases;
  std::string interface = "eth0";
};

/// Thread-safe; other processes may work on the same root and on others at the same time.
/// Errors are in Docker's words: not_found "network NAME not found", conflict, forbidden, invalid.
class Networks {
 public:
  Networks(db::Pool& pool, Options options);
  ~Networks();

  /// All, by name. The predefined ones are made when they are first asked for.
  std::vector<Network> list();
  /// By full id, name or a prefix of an id that fits one network only; nullopt where there is none.
  /// Throws Error(invalid) where several fit.
  std::optional<Network> find(const std::string& reference);
  Network get(const std::string& reference);

  /// A bridge network; its interface is made at once.
  Network create(const NetworkSpec& spec);
  /// Throws Error(forbidden) for the predefined and for those in use.
  void remove(const std::string& reference);

  /// Takes a place in a network before the container starts: its bridge and firewall rules are put up where they are
  /// missing, an address is reserved. attach() (net/link.h) then makes the interface. A place that an earlier run of
  /// the container left behind is in the way: release() first.
  Endpoint connect(const ConnectSpec& spec);
  void disconnect(const std::string& containerId, const std::string& network);
  /// Frees all places of a container that has ended. Interfaces go with its namespace.
  void release(const std::string& containerId);
  /// Frees the places of all containers that `isKnown` (by id) denies; how many. It is asked after the places are
  /// read: where the container's row is written before connect(), no container that starts meanwhile loses its own.
  size_t recover(const std::function<bool(const std::string&)>& isKnown);
  std::vector<Endpoint> endpointsOf(const std::string& containerId);
  std::vector<Endpoint> endpointsIn(const std::string& networkId);

  /// Puts bridges and rules of all networks in use up again where another tool took them away.
  void restore();
  /// Takes away the interfaces and the table of this engine (its rows stay): for the end of a root's life.
  void tearDown();

  const Options& options() const noexcept { return options_; }

 private:
  struct Host;  // sockets, opened when first needed
  Host& host();
  int ensureUp(db::Connection& db, Network& network);
  int bringUp(db::Connection& db, Network& network);
  void settleSubnet(db::Connection& db, Network& network);
  Subnet freeSubnet(db::Connection& db, const Network& network, const std::vector<Occupied>& occupied);
  void ensurePredefined(db::Connection& db);
  void applyOptions(Network& network) const;
  std::vector<Network> load(db::Connection& db);
  std::vector<Network> readAll(db::Connection& db);
  void forget(db::Connection& db, const Network& network);

  db::Pool& pool_;
  Options options_;
  std::once_flag hostOnce_;
  std::unique_ptr<Host> host_;
};

}  // namespace estiba::net
