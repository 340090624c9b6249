#pragma once
// Syntax tree -> typed, checked instructions. Variables are still in place until expandInstruction().
// Source: Dockerfile reference; error texts are BuildKit's.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "build/dockerfile/expand.h"
#include "build/dockerfile/parser.h"

namespace estiba::build {

/// FROM [--platform=p] image [AS name]
struct FromInstruction {
  std::string image;     ///< as written: an image, an earlier stage, "scratch", with variables
  std::string name;      ///< lower case; empty without AS
  std::string platform;  ///< as written
  std::string asWord;    ///< "AS", "as"; for lints
  std::string nameAsWritten;
};

enum class MountType { bind, cache, tmpfs, secret, ssh };
enum class CacheSharing { shared, private_, locked };
std::string_view mountTypeName(MountType type);

/// One --mount of a RUN, read and checked.
struct RunMount {
  MountType type = MountType::bind;
  std::string from;    ///< stage or image; empty: the build context
  std::string source;  ///< path in `from`
  std::string target;
  bool readOnly = true;
  int64_t sizeBytes = 0;  ///< tmpfs; 0: no limit
  std::string id;         ///< cache, secret (never empty), ssh; a cache without one goes by its cleaned target
  std::optional<CacheSharing> sharing;
  bool required = false;           ///< secret, ssh
  std::optional<std::string> env;  ///< secret: variable to set; "" means the secret's id
  std::optional<uint32_t> mode;
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
};

/// RUN, CMD and ENTRYPOINT: a command line.
struct CommandLine {
  std::vector<std::string> args;  ///< shell form: at most one text, to be given to the shell
  bool shellForm = true;
};

struct RunInstruction : CommandLine {
  std::vector<Heredoc> heredocs;
  std::vector<std::string> mountTexts;  ///< every --mount as written
  std::vector<RunMount> mounts;         ///< filled by expandInstruction (variables may stand in any value but from)
  std::vector<std::string> mountFroms;  ///< the from= of every mountTexts, "" without: known before expansion
  std::string network = "default";      ///< default, none, host
  std::string security = "sandbox";     ///< sandbox, insecure
  std::vector<std::string> devices;     ///< --device as written; to be refused by who runs it
};

struct InlineFile {
  std::string name;
  std::string content;  ///< tabs stripped where asked
  bool expand = true;
};

/// ADD and COPY.
struct CopyInstruction {
  bool add = false;
  std::vector<std::string> sources;
  std::vector<InlineFile> inlineFiles;
  std::string destination;
  std::string from;  ///< COPY: stage name, number, image, or named context
  std::string chown;
  std::string chmod;
  bool link = false;
  bool parents = false;
  std::vector<std::string> excludes;
  std::optional<bool> keepGitDir;
  std::optional<bool> unpack;  ///< unset: ADD unpacks local archives
  std::string checksum;
};

struct KeyValue {
  std::string key;
  std::string value;
  bool oldForm = false;  ///< ENV key value
};

struct EnvInstruction {
  std::vector<KeyValue> pairs;
};
struct LabelInstruction {
  std::vector<KeyValue> pairs;
};

struct ArgDefinition {
  std::string key;
  std::optional<std::string> value;
  std::string description;  ///< of the comment "# key text" before it
};
struct ArgInstruction {
  std::vector<ArgDefinition> args;
};

struct CmdInstruction : CommandLine {};
struct EntrypointInstruction : CommandLine {};
struct WorkdirInstruction {
  std::string path;
};
struct UserInstruction {
  std::string user;
};
struct VolumeInstruction {
  std::vector<std::string> paths;
};
struct ExposeInstruction {
  std::vector<std::string> ports;  ///< as written, sorted
};
struct ShellInstruction {
  std::vector<std::string> args;
};
struct StopSignalInstruction {
  std::string signal;
};
/// Durations of 0 mean "inherit or default", as in the image config.
struct HealthcheckInstruction {
  std::vector<std::string> test;  ///< {"NONE"}, {"CMD", …}, {"CMD-SHELL", text}
  std::chrono::nanoseconds interval{};
  std::chrono::nanoseconds timeout{};
  std::chrono::nanoseconds startPeriod{};
  std::chrono::nanoseconds startInterval{};
  int retries = 0;
};
struct OnbuildInstruction {
  std::string trigger;  ///< the text that goes into the image, here-documents included
};
struct MaintainerInstruction {
  std::string author;
};

struct Instruction {
  std::string keyword;  ///< as written
  std::string text;     ///< "RUN echo hola > /a": continuations joined, trimmed
  LineRange lines;
  std::vector<std::string> comments;
  bool fromOnbuild = false;  ///< a trigger of the base image
  std::variant<FromInstruction, RunInstruction, CopyInstruction, EnvInstruction, ArgInstruction, LabelInstruction,
               CmdInstruction, EntrypointInstruction, WorkdirInstruction, UserInstruction, VolumeInstruction,
               ExposeInstruction, ShellInstruction, StopSignalInstruction, HealthcheckInstruction, OnbuildInstruction,
               MaintainerInstruction>
      body;

  template <class T>
  const T* as() const {
    return std::get_if<T>(&body);
  }
  template <class T>
  T* as() {
    return std::get_if<T>(&body);
  }
};

/// Throws DockerfileError, without the "dockerfile parse error on line N: " that parseStages puts before it.
Instruction parseInstruction(const Node& node);

/// A trigger out of an image's OnBuild; its lines become `where` (the FROM that brought it in).
Instruction parseOnbuildTrigger(const std::string& trigger, LineRange where);

struct ExpandedInstruction {
  Instruction instruction;
  std::set<std::string> used;
  std::set<std::string> unset;
  std::vector<std::string> unsetByWord;  ///< the same, once for every word it stands in: a lint counts them so
};

/// Puts `env` into the places where the Dockerfile reference allows variables (RUN: only in --mount; FROM, ARG, CMD,
/// ENTRYPOINT, HEALTHCHECK, ONBUILD, SHELL, MAINTAINER: nowhere), reads the mounts of a RUN and splits EXPOSE.
/// Throws DockerfileError.
ExpandedInstruction expandInstruction(const Instruction& instruction, const Variables& env, char escape);

/// One --mount value, fully read. Throws Error(invalid) with BuildKit's words.
RunMount parseRunMount(std::string_view text);

/// The "port/proto" of EXPOSE words ("80", "53/udp", "8000-8002/tcp"), in order. Throws Error(invalid).
std::vector<std::string> parseExposePorts(const std::vector<std::string>& words);

/// "64", "0755" or symbolic ("u=rwX,go=rX"): whether --chmod may say so; throws Error(invalid) in BuildKit's words.
void checkChmod(std::string_view mode);

/// ADD of this source goes over the network.
bool isHttpSource(std::string_view source);
bool isGitSource(std::string_view source);

std::vector<std::string> instructionNames();  ///< upper case, sorted

}  // namespace estiba::build
