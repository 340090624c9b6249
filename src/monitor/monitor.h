#pragma once

namespace estiba::monitor {

/// The role `monitor`: holds one container from before its start until after its end. argv[0] is ignored, argv[1] is
/// the run directory, argv[2] the number of the descriptor that is connected to the engine. Ends when everything of the
/// container is gone; returns the process's exit code (0 whatever the container did). One thread, one epoll loop.
int monitorMain(int argc, char** argv);

}  // namespace estiba::monitor
