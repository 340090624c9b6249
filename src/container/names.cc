#include "container/names.h"

#include <array>

#include "base/error.h"
#include "base/text.h"

namespace estiba::container {

namespace {

constexpr std::array kAdjectives = {
    "able",    "agile",   "alert",   "amber",   "apt",     "bold",    "brave",   "bright",  "brisk",   "calm",
    "candid",  "clear",   "clever",  "cosmic",  "crisp",   "daring",  "deft",    "eager",   "early",   "easy",
    "exact",   "fair",    "famous",  "fast",    "fine",    "firm",    "fluent",  "fond",    "frank",   "free",
    "fresh",   "gentle",  "glad",    "golden",  "good",    "grand",   "great",   "happy",   "hardy",   "honest",
    "humble",  "ideal",   "jolly",   "jovial",  "keen",    "kind",    "lively",  "loyal",   "lucid",   "lucky",
    "mellow",  "merry",   "modest",  "neat",    "nimble",  "noble",   "patient", "placid",  "polite",  "proud",
    "quick",   "quiet",   "rapid",   "ready",   "serene",  "sharp",   "silent",  "sleek",   "smart",   "solid",
    "steady",  "stoic",   "strong",  "sunny",   "swift",   "tidy",    "upbeat",  "vivid",   "warm",    "wise",
};

// People of science, letters and seafaring.
constexpr std::array kSurnames = {
    "alonso",   "anning",   "arago",     "avogadro", "babbage",  "balboa",   "barcala",  "bernoulli", "bolyai",
    "bose",     "boyle",    "cajal",     "cantor",   "carnot",   "cavendish", "chatelet", "church",   "clarke",
    "copernicus", "cori",   "curie",     "dalton",   "darwin",   "delgado",  "dirac",    "elcano",   "erdos",
    "euclid",   "euler",    "faraday",   "fermat",   "fermi",    "fibonacci", "finlay",  "franklin", "galileo",
    "galois",   "gauss",    "germain",   "godel",    "halley",   "hamilton", "herschel", "hilbert",  "hopper",
    "houssay",  "huygens",  "hypatia",   "jacobi",   "joule",    "juana",    "kepler",   "kernighan", "kovalevskaya",
    "lagrange", "lamarr",   "laplace",   "lavoisier", "leloir",  "lovelace", "magellan", "maxwell",  "meitner",
    "mendel",   "milstein", "molina",    "mutis",    "napier",   "newton",   "nobel",    "noether",  "ochoa",
    "pascal",   "pasteur",  "planck",    "ramanujan", "ritchie", "servet",   "shannon",  "torres",   "turing",
    "ulloa",    "volta",    "watt",
};

size_t randomBelow(size_t limit) { return std::stoul(randomHex(4), nullptr, 16) % limit; }

}  // namespace

std::string randomName(int attempt) {
  std::string name = fmt::format("{}_{}", kAdjectives[randomBelow(kAdjectives.size())],
                                 kSurnames[randomBelow(kSurnames.size())]);
  if (attempt > 0) name += std::to_string(randomBelow(10));
  return name;
}

void checkName(std::string_view name) {
  constexpr std::string_view kFirst = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  std::string_view bare = name;
  if (bare.starts_with('/')) bare.remove_prefix(1);
  if (bare.size() < 2 || kFirst.find(bare[0]) == std::string_view::npos ||
      bare.find_first_not_of(std::string(kFirst) + "_.-") != std::string_view::npos) {
    fail(Code::invalid, "Invalid container name ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name);
  }
}

}  // namespace estiba::container
