#include "engine/nn/clip_model.h"

#include <cmath>

#include "torch/torch.h"

namespace ovdiff::engine {

CLIPModelImpl::CLIPModelImpl(const CLIPConfig& config) : config_(config) {
  // ln(1 / 0.07), where training starts.
  logit_scale =
      register_parameter("logit_scale", torch::full({}, std::log(1.0 / 0.07)));
  text_model =
      register_module("text_model", CLIPTextTransformer(config.text_config));
  vision_model = register_module("vision_model",
                                 CLIPVisionTransformer(config.vision_config));
  const auto make_projection = [&](int64_t hidden_size) {
    return torch::nn::Linear(
        torch::nn::LinearOptions(hidden_size, config.projection_dim)
            .bias(false));
  };
  visual_projection = register_module(
      "visual_projection", make_projection(config.vision_config.hidden_size));
  text_projection = register_module(
      "text_projection", make_projection(config.text_config.hidden_size));
}

torch::Tensor CLIPModelImpl::TextFeatures(const torch::Tensor& input_ids) {
  return text_projection(text_model->Pool(text_model(input_ids), input_ids));
}

torch::Tensor CLIPModelImpl::ImageFeatures(const torch::Tensor& pixel_values,
                                           PositionInterpolation rule) {
  return visual_projection(vision_model->Pool(pixel_values, rule));
}

torch::Tensor CLIPModelImpl::LogitsPerImage(
    const torch::Tensor& image_features,
    const torch::Tensor& text_features) const {
  const auto unit = [](const torch::Tensor& rows) {
    return rows / rows.norm(2, -1, /*keepdim=*/true);
  };
  return logit_scale.exp() *
         torch::matmul(unit(image_features), unit(text_features).t());
}

}  // namespace ovdiff::engine
