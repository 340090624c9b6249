#pragma once
// The definitions of all commands; tree.cc hangs them in their places.

#include "cli/command.h"

namespace estiba::cli {

const Command& runCommandSpec();
const Command& createCommandSpec();
const Command& startCommandSpec();
const Command& stopCommandSpec();
const Command& restartCommandSpec();
const Command& killCommandSpec();
const Command& pauseCommandSpec();
const Command& unpauseCommandSpec();
const Command& containerRmCommandSpec();
const Command& renameCommandSpec();
const Command& waitCommandSpec();
const Command& attachCommandSpec();
const Command& logsCommandSpec();
const Command& execCommandSpec();
const Command& diffCommandSpec();
const Command& commitCommandSpec();
const Command& containerLsCommandSpec();
const Command& containerInspectCommandSpec();
const Command& containerPruneCommandSpec();

const Command& imageLsCommandSpec();
const Command& imageTagCommandSpec();
const Command& imageRmCommandSpec();
const Command& imageInspectCommandSpec();
const Command& imageHistoryCommandSpec();
const Command& imagePruneCommandSpec();
const Command& imageSaveCommandSpec();
const Command& imageLoadCommandSpec();
const Command& imageImportCommandSpec();
const Command& buildCommandSpec();
const Command& builderPruneCommandSpec();

const Command& inspectCommandSpec();
const Command& versionCommandSpec();
const Command& infoCommandSpec();
const Command& systemDfCommandSpec();
const Command& systemCheckCommandSpec();
const Command& systemRecoverCommandSpec();
const Command& networkLsCommandSpec();
const Command& networkInspectCommandSpec();
const Command& volumeLsCommandSpec();
const Command& volumeCreateCommandSpec();
const Command& volumeInspectCommandSpec();
const Command& volumeRmCommandSpec();

}  // namespace estiba::cli
