#include "build/call.h"

#include "base/text.h"
#include "build/dockerfile/outline.h"

namespace estiba::build {

namespace {

// JSON as BuildKit's subrequests write it: members that say nothing are left out.
class Item {
 public:
  Item& put(const char* name, const std::string& value) {
    if (!value.empty()) object_[name] = value;
    return *this;
  }
  Item& put(const char* name, bool value) {
    if (value) object_[name] = true;
    return *this;
  }
  Item& put(const char* name, json::array value) {
    if (!value.empty()) object_[name] = std::move(value);
    return *this;
  }
  Item& put(LineRange lines) {
    object_["location"] = location(lines);
    return *this;
  }
  static json::object location(LineRange lines) {
    json::object out;
    if (lines.first > 0) {
      out["ranges"] = json::array{
          json::object{{"start", json::object{{"line", lines.first}}}, {"end", json::object{{"line", lines.last}}}}};
    }
    return out;
  }
  json::object take() { return std::move(object_); }

 private:
  json::object object_;
};

apitypes::BuildCall lint(const CallSubject& subject) {
  LintOptions options = subject.options;
  options.allStages = options.plan.target.empty();
  const LintResult result = lintDockerfile(subject.text, options);
  json::array warnings;
  for (const LintWarning& w : result.warnings) {
    Item item;
    item.put("ruleName", w.rule).put("description", w.description).put("url", w.url).put("detail", w.message);
    warnings.push_back(item.put(w.lines).take());
  }
  json::object source{{"filename", subject.fileName}, {"language", "Dockerfile"}, {"data", base64Encode(subject.text)}};
  json::object out;
  out["warnings"] = warnings.empty() ? json::value(nullptr) : json::value(std::move(warnings));
  out["sources"] = json::array{std::move(source)};
  apitypes::BuildCall answer;
  if (result.error) {
    const auto& where = result.error->where();
    out["buildError"] = json::object{{"message", result.error->what()},
                                     {"location", Item::location(where.empty() ? LineRange{} : where.front())}};
    answer.error = checkError(result, subject.shownName, subject.text);
  }
  answer.result = std::move(out);
  answer.text = checkText(result, subject.shownName, subject.text);
  answer.status = result.warnings.empty() && !result.error ? 0 : 1;
  return answer;
}

apitypes::BuildCall outline(const CallSubject& subject) {
  const Outline found = outlineOf(readDockerfile(subject.text), subject.options.plan);
  json::array args, secrets, agents;
  for (const auto& a : found.args) {
    Item item;
    item.put("name", a.name).put("description", a.description).put("value", a.value);
    args.push_back(item.put(a.lines).take());
  }
  const auto mounts = [](const std::vector<Outline::Mount>& from, json::array& to) {
    for (const auto& m : from) to.push_back(Item().put("name", m.id).put("required", m.required).put(m.lines).take());
  };
  mounts(found.secrets, secrets);
  mounts(found.agents, agents);
  Item out;
  out.put("name", found.name).put("description", found.description).put("args", std::move(args));
  out.put("secrets", std::move(secrets)).put("ssh", std::move(agents));
  apitypes::BuildCall answer;
  answer.result = out.put("sources", json::array{json::value(base64Encode(subject.text))}).take();
  return answer;
}

apitypes::BuildCall targets(const CallSubject& subject) {
  const Dockerfile file = readDockerfile(subject.text);
  json::array all;
  for (const Stage& stage : file.stages) {
    Item item;
    item.put("name", stage.name()).put("default", stage.index + 1 == file.stages.size());
    item.put("description", stage.description).put("base", stage.base().image).put("platform", stage.base().platform);
    all.push_back(item.put(stage.from.lines).take());
  }
  json::object out;
  out["targets"] = std::move(all);
  out["sources"] = json::array{json::value(base64Encode(subject.text))};
  apitypes::BuildCall answer;
  answer.result = std::move(out);
  return answer;
}

}  // namespace

apitypes::BuildCall answerCall(const std::string& name, const CallSubject& subject) {
  if (name == "lint") return lint(subject);
  if (name == "outline") return outline(subject);
  if (name == "targets") return targets(subject);
  fail(Code::not_implemented, "unsupported request frontend.{}", name);
}

}  // namespace estiba::build
