#pragma once
// Stacks of directories as one tree. Source: kernel filesystems/overlayfs; index, metacopy, xino and redirect_dir are
// off whatever the kernel's own defaults are: a layer must be readable by itself and by other engines.

#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"

namespace estiba {

struct OverlayStack {
  std::vector<std::string> lowers;  ///< absolute, topmost first, at least one; overlayfs takes 500
  std::string upper, work;          ///< both or neither; without: nothing can be written
  bool readonly = false;            ///< mounted read-only although there is an upper directory
  bool volatile_ = false;           ///< no sync: the upper directory is lost in a crash of the host
  bool noDevices = false;           ///< device nodes cannot be opened
};

/// A detached mount (an O_PATH directory), gone with the descriptor unless attached. One lower alone is bound read-only,
/// as overlayfs wants two. `scratch` names an empty directory, and is asked only on kernels without `lowerdir+` (before
/// 6.8), where the stack is mounted for a moment. A volatile upper directory may be used again after its unmount. Any
/// thread.
Fd mountOverlay(const OverlayStack& stack, const std::function<std::string()>& scratch);

/// What it does on those kernels: mount(2), whose options are one page, with short names. Exposed for its test.
Fd mountOverlayByPage(const OverlayStack& stack, const std::string& scratch);

}  // namespace estiba
