#include "net/network.h"

#include <fcntl.h>

#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "base/text.h"
#include "net/bridge.h"
#include "net/firewall.h"
#include "net/link.h"
#include "sys/lock.h"
#include "sys/root_dir.h"

namespace estiba::net {

const db::Schema kSchema{"net", {R"(
CREATE TABLE network (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  driver TEXT NOT NULL,
  created INTEGER NOT NULL,
  interface TEXT UNIQUE,
  subnet TEXT,
  gateway TEXT,
  ip_range TEXT,
  aux_addresses TEXT NOT NULL DEFAULT '{}',
  subnet_asked INTEGER NOT NULL DEFAULT 0,
  internal INTEGER NOT NULL DEFAULT 0,
  attachable INTEGER NOT NULL DEFAULT 0,
  options TEXT NOT NULL DEFAULT '{}',
  labels TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE TABLE endpoint (
  id TEXT PRIMARY KEY,
  network TEXT NOT NULL REFERENCES network (id),
  container TEXT NOT NULL,
  interface TEXT NOT NULL,
  address TEXT,
  mac TEXT,
  aliases TEXT NOT NULL DEFAULT '[]',
  created INTEGER NOT NULL,
  UNIQUE (network, address),
  UNIQUE (container, network)
) STRICT;
)"}};

namespace {

using StringMap = std::map<std::string, std::string>;

constexpr const char* kBridgeName = "com.docker.network.bridge.name";
constexpr const char* kIcc = "com.docker.network.bridge.enable_icc";
constexpr const char* kMasquerade = "com.docker.network.bridge.enable_ip_masquerade";
constexpr const char* kMtu = "com.docker.network.driver.mtu";

constexpr const char* kNetworkColumns =
    "id, name, driver, created, interface, subnet, gateway, ip_range, aux_addresses, subnet_asked, internal, "
    "attachable, options, labels";

std::string rootDigits(const std::string& root) {
  return sha256Hex(cleanPath(root)).substr(0, 8);
}

bool isDefaultRoot(const std::string& root) {
  return cleanPath(root) == kDefaultRoot;
}

// Docker reads these options as Go's strconv.ParseBool does.
bool flag(const StringMap& options, const char* name) {
  const auto it = options.find(name);
  if (it == options.end()) return true;
  const std::string value = toLower(it->second);
  return value == "1" || value == "t" || value == "true";
}

Network readNetwork(db::Statement& row) {
  Network out;
  out.id = row.text(0);
  out.name = row.text(1);
  out.driver = row.text(2);
  out.created = Time{row.integer(3)};
  out.interface = row.text(4);
  out.subnet = Subnet::parse(row.text(5)).value_or(Subnet());
  out.gateway = Ip::parse(row.text(6)).value_or(Ip());
  out.ipRange = Subnet::parse(row.text(7));
  out.auxAddresses = parseJsonAs<StringMap>(row.text(8), "auxiliary addresses");
  out.subnetAsked = row.integer(9) != 0;
  out.internal = row.integer(10) != 0;
  out.attachable = row.integer(11) != 0;
  out.options = parseJsonAs<StringMap>(row.text(12), "network options");
  out.labels = parseJsonAs<StringMap>(row.text(13), "network labels");
  return out;
}

std::optional<std::string> orNull(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return text;
}

// False where the name or the interface is taken.
bool insertNetwork(db::Connection& db, const Network& n) {
  return db.prepare(fmt::format("INSERT INTO network ({}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
                                kNetworkColumns))
             .bind(n.id)
             .bind(n.name)
             .bind(n.driver)
             .bind(n.created.ns)
             .bind(orNull(n.interface))
             .bind(orNull(n.subnet.text()))
             .bind(orNull(n.gateway.text()))
             .bind(n.ipRange ? std::optional(n.ipRange->text()) : std::nullopt)
             .bind(dumpJsonOf(n.auxAddresses))
             .bind(n.subnetAsked)
             .bind(n.internal)
             .bind(n.attachable)
             .bind(dumpJsonOf(n.options))
             .bind(dumpJsonOf(n.labels))
             .run() == 1;
}

bool inUse(db::Connection& db, const std::string& networkId) {
  auto st = db.prepare("SELECT 1 FROM endpoint WHERE network = ? LIMIT 1");
  return st.bind(networkId).step();
}

FirewallNetwork forFirewall(const Network& network) {
  return {.interface = network.interface,
          .masquerade = network.masquerade(),
          .internal = network.internal,
          .icc = network.icc()};
}

Endpoint describe(const Network& network, const std::string& id, const std::string& container,
                  const std::string& interface) {
  Endpoint out;
  out.id = id;
  out.networkId = network.id;
  out.networkName = network.name;
  out.driver = network.driver;
  out.containerId = container;
  if (network.driver != "bridge") {
    out.interface.clear();
    return out;
  }
  out.bridge = network.interface;
  out.hostInterface = "veth" + id.substr(0, 10);
  out.interface = interface;
  out.prefixLen = network.subnet.bits;
  if (!network.internal) out.gateway = network.gateway;
  out.mtu = network.mtu();
  out.icc = network.icc();
  return out;
}

std::vector<Endpoint> readEndpoints(db::Connection& db, const std::vector<Network>& networks, std::string_view where,
                                    const std::string& value) {
  auto st = db.prepare(fmt::format(
      "SELECT id, network, container, interface, address, mac, aliases FROM endpoint WHERE {} = ? ORDER BY created",
      where));
  st.bind(value);
  std::vector<Endpoint> out;
  while (st.step()) {
    const std::string networkId = st.text(1);
    const auto network =
        std::find_if(networks.begin(), networks.end(), [&](const Network& n) { return n.id == networkId; });
    if (network == networks.end()) continue;  // removed since the networks were read
    Endpoint endpoint = describe(*network, st.text(0), st.text(2), st.text(3));
    endpoint.address = Ip::fromKey(st.text(4)).value_or(Ip());
    endpoint.mac = Mac::parse(st.text(5)).value_or(Mac());
    endpoint.aliases = parseJsonAs<std::vector<std::string>>(st.text(6), "aliases");
    out.push_back(std::move(endpoint));
  }
  return out;
}

// Addresses that no container gets.
std::set<Ip> reserved(const Network& network) {
  std::set<Ip> out{network.gateway};
  for (const auto& [name, address] : network.auxAddresses) {
    if (const auto ip = Ip::parse(address)) out.insert(*ip);
  }
  return out;
}

// The lowest free one. Called inside a transaction; UNIQUE (network, address) stands behind it.
Ip lowestFree(db::Connection& db, const Network& network) {
  const Subnet range = network.ipRange.value_or(network.subnet);
  const Ip first =
      std::max(range.bits == network.subnet.bits ? range.firstHost() : range.base, network.subnet.firstHost());
  const Ip rangeEnd = range.bits >= 31 ? range.lastHost() : range.lastHost().plus(1);
  const Ip last = std::min(rangeEnd, network.subnet.lastHost());
  const auto kept = reserved(network);
  auto st = db.prepare(
      "SELECT address FROM endpoint WHERE network = ? AND address >= ? AND address <= ? "
      "ORDER BY address");
  st.bind(network.id).bind(first.key()).bind(last.key());
  Ip next = first;
  const auto skipKept = [&] {
    while (kept.contains(next)) next = next.plus(1);
  };
  skipKept();
  while (st.step()) {
    const Ip taken = Ip::fromKey(st.text(0)).value_or(Ip());
    if (taken > next) break;
    if (taken == next) next = next.plus(1);
    skipKept();
  }
  if (next > last || !network.subnet.contains(next)) {
    fail(Code::forbidden, "no available IPv4 addresses on this network's address pools: {} ({})", network.name,
         network.id);
  }
  return next;
}

Ip askedAddress(const Network& network, const std::string& text) {
  const auto ip = Ip::parse(text);
  if (!ip || ip->isV6()) fail(Code::invalid, "invalid IPv4 address: {}", text);
  if (!network.subnetAsked && network.predefined()) {
    fail(Code::invalid, "user specified IP address is supported on user defined networks only");
  }
  if (!network.subnetAsked) {
    fail(Code::invalid,
         "user specified IP address is supported only when connecting to networks with user configured "
         "subnets");
  }
  if (!network.subnet.contains(*ip)) fail(Code::invalid, "no configured subnet contains IP address {}", text);
  if (*ip < network.subnet.firstHost() || *ip > network.subnet.lastHost() || reserved(network).contains(*ip)) {
    fail(Code::forbidden, "Address already in use");
  }
  return *ip;
}

Subnet parseSubnet(std::string_view what, const std::string& text) {
  const auto subnet = Subnet::parse(text);
  if (!subnet) fail(Code::invalid, "invalid {} {}: want an address and a prefix length, as in 10.1.0.0/16", what, text);
  if (subnet->base.isV6()) fail(Code::not_implemented, "IPv6 {} {} is not supported yet", what, text);
  return *subnet;
}

// What the user said of subnet, gateway and the like.
void readAddressing(const NetworkSpec& spec, Network& network) {
  if (spec.subnet) {
    network.subnet = parseSubnet("subnet", *spec.subnet);
    if (network.subnet.bits > 30) fail(Code::invalid, "subnet {} has no room for a container", *spec.subnet);
    network.subnetAsked = true;
    network.gateway = network.subnet.firstHost();
  } else if (spec.gateway || spec.ipRange || !spec.auxAddresses.empty()) {
    fail(Code::invalid, "every ip-range, gateway or aux-address must have a corresponding subnet");
  }
  const auto inside = [&](const char* what, const std::string& text) {
    const auto ip = Ip::parse(text);
    if (!ip) fail(Code::invalid, "invalid {} {}", what, text);
    if (!network.subnet.contains(*ip)) fail(Code::invalid, "no matching subnet for {} {}", what, text);
    return *ip;
  };
  if (spec.ipRange) {
    network.ipRange = parseSubnet("ip-range", *spec.ipRange);
    if (!network.subnet.contains(network.ipRange->base) || network.ipRange->bits < network.subnet.bits) {
      fail(Code::invalid, "no matching subnet for range {}", *spec.ipRange);
    }
  }
  if (spec.gateway) network.gateway = inside("gateway", *spec.gateway);
  for (const auto& [name, address] : spec.auxAddresses) inside("aux-address", address);
  network.auxAddresses = spec.auxAddresses;
}

std::string interfaceFor(const NetworkSpec& spec, const std::string& id) {
  const auto it = spec.options.find(kBridgeName);
  const std::string name = it == spec.options.end() ? "br-" + id.substr(0, 12) : it->second;
  const bool bad = name.empty() || name.size() > 15 || name == "." || name == ".." ||
                   name.find_first_of("/: \t\n\r\v\f") != std::string::npos;
  if (bad) fail(Code::invalid, "invalid bridge name '{}': 1 to 15 characters without '/', ':' and spaces", name);
  return name;
}

void checkSpec(const NetworkSpec& spec) {
  if (trim(spec.name).empty()) fail(Code::invalid, "invalid name: name is empty");
  if (spec.name == "bridge" || spec.name == "host" || spec.name == "none" || spec.name == "default") {
    fail(Code::forbidden, "operation is not permitted on predefined {} network", spec.name);
  }
  if (spec.driver == "macvlan" || spec.driver == "ipvlan" || spec.driver == "overlay") {
    fail(Code::not_implemented, "network driver {} is not supported yet", spec.driver);
  }
  if (spec.driver == "host" || spec.driver == "null") {
    fail(Code::forbidden, "only one instance of \"{}\" network is allowed", spec.driver);
  }
  if (spec.driver != "bridge") {
    fail(Code::not_found, "could not find plugin {0} in v1 plugin registry: plugin \"{0}\" not found", spec.driver);
  }
  if (spec.ipv6) fail(Code::not_implemented, "IPv6 networks are not supported yet");
  const auto mtu = spec.options.find(kMtu);
  if (mtu != spec.options.end() && parseUint(mtu->second).value_or(UINT16_MAX + 1) > UINT16_MAX) {
    fail(Code::invalid, "invalid value for {}: {}", kMtu, mtu->second);
  }
}

}  // namespace

std::vector<AddressPool> defaultAddressPools() {
  std::vector<AddressPool> out;
  for (const char* base :
       {"172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16", "172.20.0.0/14", "172.24.0.0/14", "172.28.0.0/14"}) {
    out.push_back({*Subnet::parse(base), 16});
  }
  out.push_back({*Subnet::parse("192.168.0.0/16"), 20});
  return out;
}

std::string defaultBridgeName(const std::string& root) {
  return isDefaultRoot(root) ? "estiba0" : "eb-" + rootDigits(root);
}

std::string firewallTableName(const std::string& root) {
  return isDefaultRoot(root) ? "estiba" : "estiba_" + rootDigits(root);
}

bool Network::icc() const {
  return flag(options, kIcc);
}
bool Network::masquerade() const {
  return flag(options, kMasquerade) && !internal;
}
int Network::mtu() const {
  const auto it = options.find(kMtu);
  return it == options.end() ? 0 : static_cast<int>(parseUint(it->second).value_or(0));
}

// Sockets are for one thread at a time, and cost little to keep.
struct Networks::Host {
  std::mutex mutex;
  netlink::Socket route = netlink::Socket::open(NETLINK_ROUTE);
  std::optional<Firewall> firewall;

  // None where the administrator wants no rules of ours.
  Firewall* rules(const Options& options) {
    if (!options.ipTables) return nullptr;
    if (!firewall) firewall.emplace(firewallTableName(options.root));
    return &*firewall;
  }
};

Networks::Networks(db::Pool& pool, Options options) : pool_(pool), options_(std::move(options)) {}
Networks::~Networks() = default;

Networks::Host& Networks::host() {
  std::call_once(hostOnce_, [&] { host_ = std::make_unique<Host>(); });
  return *host_;
}

void Networks::ensurePredefined(db::Connection& db) {
  Network bridge;
  bridge.id = randomHex(32);
  bridge.name = bridge.driver = "bridge";
  bridge.created = now();
  bridge.interface = defaultBridgeName(options_.root);
  Network none;
  none.id = randomHex(32);
  none.name = "none";
  none.driver = "null";
  none.created = bridge.created;
  Network host;
  host.id = randomHex(32);
  host.name = host.driver = "host";
  host.created = bridge.created;
  db::Txn txn(db);
  for (const auto* network : {&bridge, &host, &none}) insertNetwork(db, *network);
  txn.commit();
}

// What the configuration says of the default bridge holds now, not what it said when the row was made.
void Networks::applyOptions(Network& network) const {
  if (network.name != "bridge") return;
  const auto text = [](bool value) { return value ? "true" : "false"; };
  network.options["com.docker.network.bridge.default_bridge"] = "true";
  network.options[kIcc] = text(options_.icc);
  network.options[kMasquerade] = text(options_.ipMasq);
  network.options["com.docker.network.bridge.host_binding_ipv4"] = "0.0.0.0";
  network.options[kBridgeName] = network.interface;
  if (options_.mtu != 0) network.options[kMtu] = std::to_string(options_.mtu);
}

std::vector<Network> Networks::readAll(db::Connection& db) {
  std::vector<Network> out;
  auto st = db.prepare(fmt::format("SELECT {} FROM network ORDER BY name", kNetworkColumns));
  while (st.step()) {
    out.push_back(readNetwork(st));
    applyOptions(out.back());
  }
  return out;
}

std::vector<Network> Networks::load(db::Connection& db) {
  auto out = readAll(db);
  if (std::count_if(out.begin(), out.end(), [](const Network& n) { return n.predefined(); }) == 3) return out;
  ensurePredefined(db);
  return readAll(db);
}

namespace {
std::optional<Network> pick(std::vector<Network> all, const std::string& reference) {
  const auto take = [&](auto&& fits) -> std::optional<Network> {
    const auto it = std::find_if(all.begin(), all.end(), fits);
    if (it == all.end()) return std::nullopt;
    return *it;
  };
  if (auto found = take([&](const Network& n) { return n.id == reference; })) return found;
  if (auto found = take([&](const Network& n) { return n.name == reference; })) return found;
  if (!isHex(reference)) return std::nullopt;
  const auto begins = [&](const Network& n) { return n.id.starts_with(reference); };
  const auto fitting = std::count_if(all.begin(), all.end(), begins);
  if (fitting > 1) {
    fail(Code::invalid, "network {} is ambiguous ({} matches found on ID prefix)", reference, fitting);
  }
  return take(begins);
}
}  // namespace

std::vector<Network> Networks::list() {
  const auto db = pool_.get();
  return load(*db);
}

std::optional<Network> Networks::find(const std::string& reference) {
  return pick(list(), reference.empty() || reference == "default" ? "bridge" : reference);
}

Network Networks::get(const std::string& reference) {
  auto found = find(reference);
  if (!found) fail(Code::not_found, "network {} not found", reference);
  return std::move(*found);
}

// The first of the pools that nobody has: no address or route of the host (other engines' bridges have both), no row
// of ours.
Subnet Networks::freeSubnet(db::Connection& db, const Network& network, const std::vector<Occupied>& occupied) {
  std::vector<Subnet> taken;
  for (const auto& item : occupied) taken.push_back(item.subnet);
  for (const auto& other : load(db)) {
    if (other.id != network.id && !other.subnet.empty()) taken.push_back(other.subnet);
  }
  for (const auto& pool : options_.pools) {
    const int64_t count = pool.size < pool.base.bits ? 0 : int64_t{1} << std::min(pool.size - pool.base.bits, 24);
    const int64_t step = int64_t{1} << (pool.base.base.bits() - pool.size);
    for (int64_t i = 0; i < count; ++i) {
      const Subnet candidate{pool.base.base.plus(i * step), pool.size};
      if (std::none_of(taken.begin(), taken.end(), [&](const Subnet& s) { return s.overlaps(candidate); })) {
        return candidate;
      }
    }
  }
  fail(Code::conflict,
       "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to "
       "the network");
}

// Called with the machine's lock held and the bridge not up: now is the time to choose, or to move.
void Networks::settleSubnet(db::Connection& db, Network& network) {
  const auto occupied = occupiedSubnets(host().route, network.interface);
  const bool fixed = inUse(db, network.id);
  if (network.name == "bridge" && options_.bip && !fixed) {
    const auto parts = cut(*options_.bip, '/');
    const auto gateway = Ip::parse(parts.first);
    const auto subnet = Subnet::parse(*options_.bip);
    if (!gateway || !subnet || gateway->isV6() || subnet->bits > 30) {
      fail(Code::invalid, "invalid bip {}: want an IPv4 address and a prefix length, as in 10.1.0.1/16", *options_.bip);
    }
    network.subnet = *subnet;
    network.gateway = *gateway;
    network.subnetAsked = true;
  }
  const auto clash = std::find_if(occupied.begin(), occupied.end(), [&](const Occupied& item) {
    return !network.subnet.empty() && item.subnet.overlaps(network.subnet);
  });
  if (network.subnet.empty() || (clash != occupied.end() && !network.subnetAsked && !fixed)) {
    network.subnet = freeSubnet(db, network, occupied);
    network.gateway = network.subnet.firstHost();
  } else if (clash != occupied.end()) {
    fail(Code::conflict, "subnet {} of network {} overlaps {} of interface '{}' on this host: choose another subnet",
         network.subnet.text(), network.name, clash->subnet.text(), clash->interface);
  }
  db.prepare("UPDATE network SET subnet = ?, gateway = ?, subnet_asked = ? WHERE id = ?")
      .bind(network.subnet.text())
      .bind(network.gateway.text())
      .bind(network.subnetAsked)
      .bind(network.id)
      .run();
}

int Networks::ensureUp(db::Connection& db, Network& network) {
  const auto isUp = [&](Host& on) {
    if (network.subnet.empty()) return 0;
    const auto state = bridgeState(
        on.route, {.name = network.interface, .gateway = network.gateway, .prefixLen = network.subnet.bits});
    return state.isBridge && state.up && state.hasAddress ? state.mtu : 0;
  };
  Host& on = host();
  const std::lock_guard guard(on.mutex);
  if (options_.ipForward && !network.internal) ensureForwarding();
  Firewall* const rules = on.rules(options_);
  int mtu = isUp(on);
  if (mtu != 0 && (rules == nullptr || rules->present(forFirewall(network)))) return mtu;

  const FileLock lock = FileLock::acquire(options_.lockPath, FileLock::Kind::exclusive);
  const auto all = load(db);
  auto fresh = pick(all, network.id);  // somebody may have chosen, or moved, or removed it
  if (!fresh) fail(Code::not_found, "network {} not found", network.name);
  network = std::move(*fresh);
  mtu = isUp(on);
  if (mtu == 0) mtu = bringUp(db, network);
  if (rules == nullptr || rules->apply(forFirewall(network))) return mtu;
  std::vector<FirewallNetwork> everything;
  for (const auto& item : all) {
    if (item.driver == "bridge") everything.push_back(forFirewall(item));
  }
  rules->rebuild(everything);
  return mtu;
}

int Networks::bringUp(db::Connection& db, Network& network) {
  settleSubnet(db, network);
  const int wanted = network.mtu() != 0 ? network.mtu() : options_.mtu;
  const auto& route = host().route;
  return ensureBridge(route, {.name = network.interface,
                              .gateway = network.gateway,
                              .prefixLen = network.subnet.bits,
                              .mtu = wanted != 0 ? wanted : defaultMtu(route),
                              .owner = firewallTableName(options_.root)})
      .mtu;
}

Network Networks::create(const NetworkSpec& spec) {
  checkSpec(spec);
  Network network;
  network.id = randomHex(32);
  network.name = spec.name;
  network.driver = spec.driver;
  network.created = now();
  network.interface = interfaceFor(spec, network.id);
  network.internal = spec.internal;
  network.attachable = spec.attachable;
  network.options = spec.options;
  network.labels = spec.labels;
  readAddressing(spec, network);
  const auto db = pool_.get();
  load(*db);  // the predefined ones must be there to collide with
  {
    db::Txn txn(*db);
    for (const auto& other : readAll(*db)) {
      if (other.name == network.name) fail(Code::conflict, "network with name {} already exists", network.name);
      if (other.interface == network.interface) {
        fail(Code::forbidden, "bridge name '{}' is used by network {}", network.interface, other.name);
      }
      if (!network.subnet.empty() && !other.subnet.empty() && other.subnet.overlaps(network.subnet)) {
        fail(Code::forbidden, "invalid pool request: Pool overlaps with other one on this address space");
      }
    }
    insertNetwork(*db, network);
    txn.commit();
  }
  try {
    ensureUp(*db, network);
  } catch (...) {
    forget(*db, network);
    throw;
  }
  return network;
}

// A row goes first, then what stands for it on the host: a crash in between leaves what restore() sweeps.
void Networks::forget(db::Connection& db, const Network& network) {
  Host& on = host();
  const std::lock_guard guard(on.mutex);  // always before the file's lock
  const FileLock lock = FileLock::acquire(options_.lockPath, FileLock::Kind::exclusive);
  {
    db::Txn txn(db);
    if (inUse(db, network.id)) {
      fail(Code::forbidden, "error while removing network: network {} id {} has active endpoints", network.name,
           network.id);
    }
    db.prepare("DELETE FROM network WHERE id = ?").bind(network.id).run();
    txn.commit();
  }
  if (Firewall* rules = on.rules(options_)) rules->remove(network.interface);
  const auto state = bridgeState(on.route, {.name = network.interface});
  if (state.isBridge) removeInterface(on.route, network.interface);
}

void Networks::remove(const std::string& reference) {
  const Network network = get(reference);
  if (network.predefined()) {
    fail(Code::forbidden, "{} is a pre-defined network and cannot be removed", network.name);
  }
  const auto db = pool_.get();
  forget(*db, network);
}

Endpoint Networks::connect(const ConnectSpec& spec) {
  Network network = get(spec.network);
  const auto db = pool_.get();
  const bool bridged = network.driver == "bridge";
  const int mtu = bridged ? ensureUp(*db, network) : 0;
  Endpoint endpoint = describe(network, randomHex(32), spec.containerId, spec.interface);
  endpoint.aliases = spec.aliases;
  endpoint.mtu = mtu;
  if (bridged && spec.mac) {
    const auto mac = Mac::parse(*spec.mac);
    if (!mac || (mac->bytes[0] & 1) != 0) fail(Code::invalid, "{} is not a valid mac address", *spec.mac);
    endpoint.mac = *mac;
  }
  db::Txn txn(*db);
  if (bridged) {
    endpoint.address = spec.address ? askedAddress(network, *spec.address) : lowestFree(*db, network);
    if (!spec.mac) endpoint.mac = Mac::fromIp(endpoint.address);
  }
  try {
    db->prepare(
          "INSERT INTO endpoint (id, network, container, interface, address, mac, aliases, created) "
          "VALUES (?,?,?,?,?,?,?,?)")
        .bind(endpoint.id)
        .bind(endpoint.networkId)
        .bind(endpoint.containerId)
        .bind(endpoint.interface)
        .bind(orNull(endpoint.address.key()))
        .bind(bridged ? std::optional(endpoint.mac.text()) : std::nullopt)
        .bind(dumpJsonOf(endpoint.aliases))
        .bind(now().ns)
        .run();
  } catch (const db::ConstraintError& e) {
    if (e.kind() == db::ConstraintError::Kind::foreign_key) {
      fail(Code::not_found, "network {} not found", spec.network);
    }
    if (std::string_view(e.what()).find("endpoint.address") != std::string_view::npos) {
      fail(Code::forbidden, "Address already in use");
    }
    fail(Code::forbidden, "endpoint with name {} already exists in network {}", spec.containerId, network.name);
  }
  txn.commit();
  return endpoint;
}

void Networks::disconnect(const std::string& containerId, const std::string& reference) {
  const Network network = get(reference);
  const auto db = pool_.get();
  const int64_t gone =
      db->prepare("DELETE FROM endpoint WHERE container = ? AND network = ?").bind(containerId).bind(network.id).run();
  if (gone == 0) fail(Code::forbidden, "container {} is not connected to network {}", containerId, network.name);
}

void Networks::release(const std::string& containerId) {
  const auto db = pool_.get();
  db->prepare("DELETE FROM endpoint WHERE container = ?").bind(containerId).run();
}

size_t Networks::recover(const std::function<bool(const std::string&)>& isKnown) {
  const auto db = pool_.get();
  std::set<std::string> containers;
  {
    auto st = db->prepare("SELECT DISTINCT container FROM endpoint");
    while (st.step()) {
      containers.insert(st.text(0));
    }
  }
  size_t freed = 0;
  for (const auto& container : containers) {
    if (isKnown(container)) continue;
    freed += static_cast<size_t>(db->prepare("DELETE FROM endpoint WHERE container = ?").bind(container).run());
  }
  return freed;
}

std::vector<Endpoint> Networks::endpointsOf(const std::string& containerId) {
  const auto db = pool_.get();
  return readEndpoints(*db, load(*db), "container", containerId);
}

std::vector<Endpoint> Networks::endpointsIn(const std::string& networkId) {
  const auto db = pool_.get();
  return readEndpoints(*db, load(*db), "network", networkId);
}

void Networks::restore() {
  const auto db = pool_.get();
  std::vector<std::string> bridges;
  {
    Host& on = host();
    const std::lock_guard guard(on.mutex);
    bridges = bridgesOwnedBy(on.route, firewallTableName(options_.root));
  }
  // Rows are written before bridges are made: what was listed and has no row now is an orphan.
  std::set<std::string> ours;
  for (auto& network : load(*db)) {
    if (network.driver != "bridge") continue;
    ours.insert(network.interface);
    if (inUse(*db, network.id)) ensureUp(*db, network);
  }
  Host& on = host();
  const std::lock_guard guard(on.mutex);
  for (const auto& name : bridges) {
    if (!ours.contains(name)) removeInterface(on.route, name);
  }
}

void Networks::tearDown() {
  Host& on = host();
  const std::lock_guard guard(on.mutex);
  const FileLock lock = FileLock::acquire(options_.lockPath, FileLock::Kind::exclusive);
  for (const auto& name : bridgesOwnedBy(on.route, firewallTableName(options_.root))) removeInterface(on.route, name);
  if (Firewall* rules = on.rules(options_)) rules->removeTable();
}

}  // namespace estiba::net
