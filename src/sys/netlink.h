#pragma once
// Netlink messages: built, sent, read, every length checked. For rtnetlink and nfnetlink.
// Sources: netlink(7), rtnetlink(7), linux/netlink.h, linux/netfilter/nfnetlink.h.

#include <linux/netlink.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace estiba::netlink {

/// The kernel's refusal: its errno, and its own words (extended ack) in the message where it gave any.
class NetlinkError : public SysError {
 public:
  NetlinkError(int err, const std::string& what, size_t message) : SysError(err, what), message_(message) {}
  /// Which message of the request was refused, from 0 on.
  size_t message() const noexcept { return message_; }

 private:
  size_t message_;
};

/// One or more messages in one buffer, sent together. Sequence numbers are the messages' positions, from 1 on.
class Request {
 public:
  /// Begins a message. NLM_F_REQUEST is added.
  Request& message(uint16_t type, uint16_t flags);
  /// The fixed part after the netlink header (ifinfomsg, nfgenmsg …); padded to four bytes.
  template <class T>
  Request& header(const T& fixed) {
    static_assert(std::is_trivially_copyable_v<T>);
    append(&fixed, sizeof fixed);
    return *this;
  }
  Request& attr(uint16_t type, const void* data, size_t size);
  Request& bytes(uint16_t type, std::string_view data) { return attr(type, data.data(), data.size()); }
  Request& text(uint16_t type, const std::string& zeroEnded) {
    return attr(type, zeroEnded.c_str(), zeroEnded.size() + 1);
  }
  Request& u8(uint16_t type, uint8_t value) { return attr(type, &value, sizeof value); }
  Request& u16(uint16_t type, uint16_t value) { return attr(type, &value, sizeof value); }
  Request& u32(uint16_t type, uint32_t value) { return attr(type, &value, sizeof value); }
  Request& be16(uint16_t type, uint16_t value);  ///< network byte order
  Request& be32(uint16_t type, uint32_t value);
  Request& be64(uint16_t type, uint64_t value);
  /// An attribute that holds what `inside` appends. nfnetlink wants NLA_F_NESTED in `type`, rtnetlink takes it.
  /// Throws Error(internal) where the whole passes 65,535 bytes, an attribute's limit.
  template <class F>
  Request& nest(uint16_t type, F&& inside) {
    const size_t start = openNest(type);
    inside();
    closeNest(start);
    return *this;
  }

  size_t count() const noexcept { return starts_.size(); }
  const std::string& buffer() const noexcept { return buffer_; }
  /// The flags of message `index`.
  uint16_t flagsOf(size_t index) const;

 private:
  void append(const void* data, size_t size);
  size_t openNest(uint16_t type);
  void closeNest(size_t start);
  void fixLength();

  std::string buffer_;
  std::vector<size_t> starts_;
};

/// A run of attributes in somebody else's buffer. Reading stops at the first that does not fit.
class Attrs {
 public:
  explicit Attrs(std::string_view bytes) : bytes_(bytes) {}
  /// The payload of the first attribute of `type` (flag bits ignored).
  std::optional<std::string_view> find(uint16_t type) const;
  std::optional<uint32_t> u32(uint16_t type) const;      ///< nullopt also where its size is not 4
  std::optional<uint32_t> be32(uint16_t type) const;     ///< from network byte order
  std::optional<std::string> text(uint16_t type) const;  ///< up to the first zero byte
  std::optional<Attrs> nested(uint16_t type) const;
  void each(const std::function<void(uint16_t type, std::string_view payload)>& visit) const;

 private:
  std::string_view bytes_;
};

/// One answer of the kernel; valid only while the callback it is given to runs.
struct Message {
  uint16_t type = 0;
  uint16_t flags = 0;
  size_t request = 0;  ///< position of the message it answers
  std::string_view payload;

  /// The fixed part; zeroes where the payload is shorter.
  template <class T>
  T header() const {
    T out{};
    if (payload.size() >= sizeof out) std::memcpy(&out, payload.data(), sizeof out);
    return out;
  }
  template <class T>
  Attrs attrs() const {
    const size_t skip = NLMSG_ALIGN(sizeof(T));
    return Attrs(payload.size() > skip ? payload.substr(skip) : std::string_view());
  }
};

/// A file under /proc/sys/net that a new namespace gets written; one that the kernel does not have is passed over.
struct Sysctl {
  const char* path;
  const char* value;
};

/// A netlink socket; one thread at a time.
class Socket {
 public:
  /// In the caller's own network namespace. `protocol`: NETLINK_ROUTE, NETLINK_NETFILTER.
  static Socket open(int protocol);
  /// In the namespace `netnsFd` (/proc/PID/ns/net), after writing `sysctls` there. The calling thread never leaves its
  /// own: a child that shares memory and descriptors goes, and ends. Needs CAP_SYS_ADMIN.
  static Socket openIn(int netnsFd, int protocol, std::initializer_list<Sysctl> sysctls = {});

  /// Sends all messages at once and reads every answer. `each` gets those that are neither acks nor errors.
  /// Throws NetlinkError for the first message refused: "what: the kernel's words: errno's text".
  void transact(const Request& request, std::string_view what,
                const std::function<void(const Message&)>& each = {}) const;
  /// As transact, but gives back each message's errno (0: done) instead of throwing.
  std::vector<int> attempt(const Request& request, std::string_view what,
                           const std::function<void(const Message&)>& each = {}) const;
  /// One message with NLM_F_DUMP: `each` gets every part. A dump that changed under way is begun again, up to 10 times;
  /// `restart` is called before each further try.
  void dump(const Request& request, std::string_view what, const std::function<void(const Message&)>& each,
            const std::function<void()>& restart = {}) const;

  int fd() const noexcept { return fd_.get(); }

 private:
  struct Outcome {
    std::vector<int> errors;
    std::vector<std::string> words;
  };
  explicit Socket(Fd fd);
  void send(const Request& request, std::string_view what) const;
  Outcome run(const Request& request, std::string_view what, const std::function<void(const Message&)>& each) const;
  bool dumpOnce(const Request& request, std::string_view what, const std::function<void(const Message&)>& each) const;

  Fd fd_;
};

}  // namespace estiba::netlink
