#include "cli/shapes.h"

#include "apitypes/container.h"
#include "apitypes/image.h"
#include "apitypes/network.h"
#include "apitypes/volume.h"

namespace estiba::cli {

namespace detail {

/// Its times are time.Duration in Go: "1s".
template <>
Shape makeShape<apitypes::HealthConfig>() {
  static const Shape duration{.kind = Shape::Kind::duration, .typeName = "time.Duration"};
  Shape out{.kind = Shape::Kind::structure};
  addFields<apitypes::HealthConfig>(out);
  for (auto& field : out.fields) {
    if (field.name == "Retries") {
      field.shape = &shapeOf<int64_t>();
    } else if (field.name != "Test") {
      field.shape = &duration;
    }
  }
  return out;
}

}  // namespace detail

const Shape& containerShape() {
  return shapeOf<apitypes::ContainerInspect>();
}
const Shape& imageShape() {
  return shapeOf<apitypes::ImageInspect>();
}
const Shape& networkShape() {
  return shapeOf<apitypes::Network>();
}
const Shape& volumeShape() {
  return shapeOf<apitypes::Volume>();
}

}  // namespace estiba::cli
