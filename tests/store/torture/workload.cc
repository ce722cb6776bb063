#include "tests/store/torture/workload.h"

#include "absl/strings/str_cat.h"
#include "tests/store/test_records.h"

namespace ovdiff::store::torture {
namespace {

// Seeds are distinct over all operations: one of a block's 2 * kOpsPerBlock.
constexpr int kMaxBlocks = 200'000;

// What one operation is. Exactly one of the parts is used.
struct Op {
  struct Added {
    std::string name;
    int seed = 0;
  };
  VocabularyId publish_to;
  std::vector<Added> added;
  std::string removed;  // From the block's own vocabulary.
  int set = -1;
  int support = -1;
  std::string job;
  std::string job_bytes;  // Empty: delete it.
};

VocabularyId OwnVocabulary(int writer, int64_t block) {
  return {.project = "torture", .name = absl::StrCat("w", writer, ".", block)};
}

// Of all writers, for a dozen blocks: about 200 classes, so that versions rest
// on others (store/FORMAT.md, record 6).
VocabularyId SharedVocabulary(int64_t block) {
  return {.project = "shared", .name = absl::StrCat("s", block / 12)};
}

std::string JobName(int writer, int64_t block, int place) {
  return absl::StrCat("job-", writer, "-", block, "-", place / 10);
}

// Operation `place` of a block; the pattern repeats every ten.
Op OpAt(int writer, int64_t block, int place) {
  const int seed =
      static_cast<int>((writer * kMaxBlocks + block) * 2 * kOpsPerBlock) +
      2 * place;
  const auto class_at = [&](int other) { return absl::StrCat("c", other); };
  Op op;
  switch (place % 10) {
    case 0:
    case 2:
      op.publish_to = OwnVocabulary(writer, block);
      op.added = {{class_at(place), seed}};
      break;
    case 4:  // Two in one write.
      op.publish_to = OwnVocabulary(writer, block);
      op.added = {{class_at(place), seed}, {class_at(place) + "b", seed + 1}};
      break;
    case 5:  // Another set in place of the one of five operations ago.
      op.publish_to = OwnVocabulary(writer, block);
      op.added = {{class_at(place - 5), seed}};
      break;
    case 6:
      op.publish_to = SharedVocabulary(block);
      op.added = {{absl::StrCat("w", writer, ".", block, ".", place), seed}};
      break;
    case 8:
      op.removed = class_at(place - 6);
      break;
    case 3:
      op.support = seed;
      break;
    case 1:
    case 7:
      op.job = JobName(writer, block, place);
      op.job_bytes = absl::StrCat("bytes of ", place, " ", seed);
      break;
    default:  // 9
      if (place / 10 % 2 == 0) {
        op.job = JobName(writer, block, place);
      } else {
        op.set = seed;
      }
  }
  return op;
}

NewClass ClassOf(const Workload& workload, const Op::Added& added) {
  NewClass result;
  result.name = added.name;
  result.set = SetOf(workload, added.seed);
  result.prompt = result.set->prompt;
  result.prototype_key = KeyOf(*result.set);
  result.support_key =
      SupportKey(result.prompt, result.set->generator_fingerprint);
  return result;
}

void Publish(const Op& op, Block& block) {
  auto classes = block.versions.empty() ? std::map<std::string, Block::Class>()
                                        : block.versions.back();
  for (const Op::Added& added : op.added) {
    block.sets.push_back(added.seed);
    uint16_t label = static_cast<uint16_t>(block.labels.size() + 1);
    label = block.labels.try_emplace(added.name, label).first->second;
    classes[added.name] = {.label = label, .seed = added.seed};
  }
  block.versions.push_back(std::move(classes));
}

void Apply(const Op& op, Block& block) {
  if (!op.added.empty() && op.publish_to.project == "shared") {
    block.sets.push_back(op.added[0].seed);
    block.shared[op.added[0].name] = {op.publish_to.name, op.added[0].seed};
  } else if (!op.added.empty()) {
    Publish(op, block);
  } else if (!op.removed.empty()) {
    block.versions.push_back(block.versions.back());
    block.versions.back().erase(op.removed);
  } else if (op.set >= 0) {
    block.loose_sets.push_back(op.set);
  } else if (op.support >= 0) {
    block.supports.push_back(op.support);
  } else if (op.job_bytes.empty()) {
    block.jobs.erase(op.job);
  } else {
    block.jobs[op.job] = op.job_bytes;
    block.job_history[op.job].insert(op.job_bytes);
  }
}

}  // namespace

PrototypeRecord SetOf(const Workload& workload, int seed) {
  if (workload.large_every > 0 && seed / 2 % workload.large_every == 0) {
    return MakePrototypeRecord(seed, 1000, 16);
  }
  // One in ten is large enough to lie in a blob file.
  return MakePrototypeRecord(seed, seed / 20 % 10 == 0 ? 130 : 5);
}

absl::Status Do(const Workload& workload, int writer, int64_t number,
                bool again, PrototypeStore& store) {
  const Op op = OpAt(writer, number / kOpsPerBlock,
                     static_cast<int>(number % kOpsPerBlock));
  if (!op.added.empty()) {
    std::vector<NewClass> classes;
    for (const Op::Added& added : op.added) {
      classes.push_back(ClassOf(workload, added));
    }
    return store.Publish(op.publish_to, classes).status();
  }
  if (!op.removed.empty()) {
    const VocabularyId own = OwnVocabulary(writer, number / kOpsPerBlock);
    const std::vector<std::string> names = {op.removed};
    const absl::Status status = store.RemoveClasses(own, names).status();
    return again && absl::IsNotFound(status) ? absl::OkStatus() : status;
  }
  if (op.set >= 0) {
    const PrototypeRecord set = SetOf(workload, op.set);
    return store.PutPrototypeSet(KeyOf(set), set);
  }
  if (op.support >= 0) {
    const SupportRecord support = MakeSupportRecord(op.support);
    return store.PutSupportSet(KeyOf(support), support);
  }
  return op.job_bytes.empty() ? store.DeleteJob(op.job)
                              : store.PutJob(op.job, op.job_bytes);
}

Block ExpectedBlock(int writer, int64_t number, int done) {
  Block block;
  block.id = OwnVocabulary(writer, number);
  for (int place = 0; place < done; ++place) {
    Apply(OpAt(writer, number, place), block);
  }
  if (done < kOpsPerBlock) {
    const Op next = OpAt(writer, number, done);
    for (const Op::Added& added : next.added) {
      block.next_sets.push_back(added.seed);
    }
    if (next.set >= 0) {
      block.next_sets.push_back(next.set);
    }
    if (next.support >= 0) {
      block.next_supports.push_back(next.support);
    }
  }
  return block;
}

}  // namespace ovdiff::store::torture
