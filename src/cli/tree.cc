// Where every command hangs.
#include "cli/commands.h"
#include "cli/session.h"

namespace estiba::cli {

namespace {

Command group(std::string_view name, std::string_view summary, std::vector<const Command*> children) {
  Command out;
  out.name = name;
  out.summary = summary;
  out.children = std::move(children);
  return out;
}

}  // namespace

const Tree& commandTree() {
  static const Command container = group(
      "container", "Manage containers",
      {&runCommandSpec(), &createCommandSpec(), &startCommandSpec(), &stopCommandSpec(), &restartCommandSpec(),
       &killCommandSpec(), &pauseCommandSpec(), &unpauseCommandSpec(), &containerRmCommandSpec(), &renameCommandSpec(),
       &waitCommandSpec(), &attachCommandSpec(), &logsCommandSpec(), &execCommandSpec(), &diffCommandSpec(),
       &commitCommandSpec(), &containerLsCommandSpec(), &containerInspectCommandSpec(), &containerPruneCommandSpec()});
  static const Command image =
      group("image", "Manage images",
            {&imageLsCommandSpec(), &imageTagCommandSpec(), &imageRmCommandSpec(), &imageInspectCommandSpec(),
             &imageHistoryCommandSpec(), &imagePruneCommandSpec(), &imageSaveCommandSpec(), &imageLoadCommandSpec(),
             &imageImportCommandSpec(), &buildCommandSpec()});
  static const Command builder = group("builder", "Manage builds", {&buildCommandSpec(), &builderPruneCommandSpec()});
  static const Command system =
      group("system", "Manage estiba",
            {&systemDfCommandSpec(), &infoCommandSpec(), &systemCheckCommandSpec(), &systemRecoverCommandSpec()});
  static const Command network = group("network", "Manage networks", {&networkLsCommandSpec(), &networkInspectCommandSpec()});
  static const Command volume =
      group("volume", "Manage volumes",
            {&volumeLsCommandSpec(), &volumeCreateCommandSpec(), &volumeInspectCommandSpec(), &volumeRmCommandSpec()});
  static const Tree tree = [] {
    Tree t;
    t.summary = "A container engine: images, layers, builds and containers, with docker's commands";
    t.globals = {
        stringFlag("config", 0, "Location of client config files"),
        boolFlag("debug", 'D', "Enable debug mode"),
        listFlag("host", 'H', "Daemon socket to connect to"),
        stringFlag("root", 0, "Root directory of the engine's images and containers"),
        stringFlag("exec-root", 0, "Root directory of the engine's run-time state"),
        boolFlag("version", 'v', "Print version information and quit"),
        stringFlag("log-level", 'l', "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")", "info"),
    };
    t.children = {&container, &image, &builder, &system, &network, &volume, &inspectCommandSpec(), &versionCommandSpec()};
    t.versionLine = "{} version " ESTIBA_VERSION ", build " ESTIBA_VERSION;
    t.common = {"run", "exec", "ps", "build", "images", "version", "info"};
    return t;
  }();
  return tree;
}

}  // namespace estiba::cli
