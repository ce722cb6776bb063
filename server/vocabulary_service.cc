#include "server/vocabulary_service.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "server/add_classes_call.h"
#include "server/convert.h"
#include "server/diff_versions.h"
#include "server/error_reasons.h"
#include "server/export_call.h"
#include "server/grpc_status.h"
#include "server/import_call.h"
#include "server/page_token.h"
#include "server/validation.h"

namespace ovdiff::server {
namespace {

constexpr char kService[] = "ovdiff.v1.VocabularyService";
constexpr char kUnary[] = "unary";

}  // namespace

VocabularyServiceImpl::VocabularyServiceImpl(
    JobQueue& jobs, VocabularyCache& cache, store::PrototypeStore& store,
    Executor& executor, const PackOptions& packs, Metrics& metrics,
    const Limits& limits)
    : jobs_(jobs),
      cache_(cache),
      store_(store),
      executor_(executor),
      packs_(packs),
      metrics_(metrics),
      limits_(limits),
      imports_("imports", limits.max_imports),
      exports_("exports", limits.max_exports) {}

UnaryCall::Options VocabularyServiceImpl::CallOptions(
    const MethodInfo& method) const {
  return {.metrics = metrics_, .executor = executor_, .method = method};
}

grpc::ServerWriteReactor<v1::AddClassesResponse>*
VocabularyServiceImpl::AddClasses(grpc::CallbackServerContext* context,
                                  const v1::AddClassesRequest* request) {
  return AddClassesCall::Start(jobs_, executor_, metrics_,
                               {"server_stream", kService, "AddClasses"},
                               context, *request);
}

grpc::ServerUnaryReactor* VocabularyServiceImpl::GetJob(
    grpc::CallbackServerContext* context, const v1::GetJobRequest* request,
    v1::GetJobResponse* response) {
  return UnaryCall::Start(
      CallOptions({kUnary, kService, "GetJob"}), context,
      [this, request, response](CallScope&) -> absl::Status {
        OVDIFF_RETURN_IF_ERROR(
            ValidateJobId(request->job(), "job", /*may_be_empty=*/false));
        OVDIFF_ASSIGN_OR_RETURN(const auto job, jobs_.Find(request->job()));
        *response->mutable_job() = job->Snapshot();
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* VocabularyServiceImpl::CancelJob(
    grpc::CallbackServerContext* context, const v1::CancelJobRequest* request,
    v1::CancelJobResponse* response) {
  return UnaryCall::Start(
      CallOptions({kUnary, kService, "CancelJob"}), context,
      [this, request, response](CallScope&) -> absl::Status {
        OVDIFF_RETURN_IF_ERROR(
            ValidateJobId(request->job(), "job", /*may_be_empty=*/false));
        OVDIFF_ASSIGN_OR_RETURN(const auto job, jobs_.Cancel(request->job()));
        *response->mutable_job() = job->Snapshot();
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* VocabularyServiceImpl::ListClasses(
    grpc::CallbackServerContext* context, const v1::ListClassesRequest* request,
    v1::ListClassesResponse* response) {
  return UnaryCall::Start(CallOptions({kUnary, kService, "ListClasses"}),
                          context, [this, request, response](CallScope&) {
                            return List(*request, *response);
                          });
}

grpc::ServerUnaryReactor* VocabularyServiceImpl::RemoveClasses(
    grpc::CallbackServerContext* context,
    const v1::RemoveClassesRequest* request,
    v1::RemoveClassesResponse* response) {
  return UnaryCall::Start(CallOptions({kUnary, kService, "RemoveClasses"}),
                          context, [this, request, response](CallScope& call) {
                            absl::Status status = Remove(*request, *response);
                            if (status.ok()) {
                              call.record.Note("vocabulary",
                                               request->vocabulary());
                              call.record.Note("version", response->version());
                            }
                            return status;
                          });
}

grpc::ServerUnaryReactor* VocabularyServiceImpl::ListVocabularies(
    grpc::CallbackServerContext* context,
    const v1::ListVocabulariesRequest* request,
    v1::ListVocabulariesResponse* response) {
  return UnaryCall::Start(CallOptions({kUnary, kService, "ListVocabularies"}),
                          context, [this, request, response](CallScope&) {
                            return ListAll(*request, *response);
                          });
}

grpc::ServerWriteReactor<v1::ExportVocabularyResponse>*
VocabularyServiceImpl::ExportVocabulary(
    grpc::CallbackServerContext* context,
    const v1::ExportVocabularyRequest* request) {
  return ExportCall::Start(
      {.cache = cache_,
       .store = store_,
       .executor = executor_,
       .slots = exports_,
       .metrics = metrics_,
       .method = {"server_stream", kService, "ExportVocabulary"},
       .about = packs_.about},
      context, *request);
}

grpc::ServerReadReactor<v1::ImportVocabularyRequest>*
VocabularyServiceImpl::ImportVocabulary(
    grpc::CallbackServerContext* context,
    v1::ImportVocabularyResponse* response) {
  return ImportCall::Start(
      {.importer = packs_.importer,
       .spool_executor = executor_,
       .import_executor = packs_.executor,
       .slots = imports_,
       .metrics = metrics_,
       .method = {"client_stream", kService, "ImportVocabulary"},
       .spool = packs_.spool},
      context, response);
}

grpc::ServerUnaryReactor* VocabularyServiceImpl::DiffVocabularyVersions(
    grpc::CallbackServerContext* context,
    const v1::DiffVocabularyVersionsRequest* request,
    v1::DiffVocabularyVersionsResponse* response) {
  return UnaryCall::Start(
      {.metrics = metrics_,
       .executor = packs_.executor,
       .method = {kUnary, kService, "DiffVocabularyVersions"}},
      context, [this, request, response](CallScope& call) {
        return DiffVersions(*request, cache_, store_, call.control, *response);
      });
}

absl::Status VocabularyServiceImpl::List(const v1::ListClassesRequest& request,
                                         v1::ListClassesResponse& response) {
  OVDIFF_RETURN_IF_ERROR(ValidateVocabularyName(request.vocabulary()));
  OVDIFF_RETURN_IF_ERROR(ValidateVersion(request.version()));
  OVDIFF_ASSIGN_OR_RETURN(const int page_size, PageSize(request.page_size()));
  // A position is "version:label after which the page begins", so that a
  // listing of the newest stays on the version of its first page.
  const std::string list =
      absl::StrCat("classes:", request.vocabulary(), ":", request.version());
  int64_t version = request.version();
  int64_t after = 0;
  if (!request.page_token().empty()) {
    OVDIFF_ASSIGN_OR_RETURN(const std::string position,
                            ParsePageToken(list, request.page_token()));
    const size_t colon = position.find(':');
    if (!absl::SimpleAtoi(position.substr(0, colon), &version) ||
        !absl::SimpleAtoi(position.substr(colon + 1), &after)) {
      return absl::InternalError("a page token of ours cannot be read");
    }
  }
  OVDIFF_ASSIGN_OR_RETURN(const auto vocabulary,
                          cache_.GetVocabulary(request.vocabulary(), version));
  const auto& classes = vocabulary->classes;
  auto it = std::find_if(classes.begin(), classes.end(),
                         [after](const auto& c) { return c.label > after; });
  std::vector<store::ContentKey> keys;
  for (; it != classes.end() && response.classes_size() < page_size; ++it) {
    *response.add_classes() = FromEntry(*it);
    keys.push_back(it->prototype_key);
  }
  OVDIFF_ASSIGN_OR_RETURN(const std::vector<store::SetState> states,
                          store_.PrototypeSetStates(keys));
  for (size_t i = 0; i < states.size(); ++i) {
    response.mutable_classes(static_cast<int>(i))
        ->set_state(states[i] == store::SetState::kPresent
                        ? v1::CLASS_STATE_READY
                        : v1::CLASS_STATE_STALE);
  }
  if (it != classes.end()) {
    const int last = response.classes(response.classes_size() - 1).label();
    response.set_next_page_token(
        MakePageToken(list, absl::StrCat(vocabulary->version, ":", last)));
  }
  response.set_version(vocabulary->version);
  response.set_total_size(static_cast<int64_t>(classes.size()));
  return absl::OkStatus();
}

absl::Status VocabularyServiceImpl::Remove(
    const v1::RemoveClassesRequest& request,
    v1::RemoveClassesResponse& response) {
  OVDIFF_RETURN_IF_ERROR(ValidateVocabularyName(request.vocabulary()));
  if (request.names().empty() ||
      request.names_size() > limits_.max_classes_per_request) {
    return FieldError(
        "names",
        absl::StrCat("names has ", request.names_size(), " entries; 1 to ",
                     limits_.max_classes_per_request, " are allowed"),
        reasons::kInvalidField);
  }
  for (int i = 0; i < request.names_size(); ++i) {
    OVDIFF_RETURN_IF_ERROR(ValidateClassName(
        request.names(i), absl::StrCat("names[", i, "]"), limits_));
  }
  // Tells an unknown vocabulary from unknown classes.
  OVDIFF_RETURN_IF_ERROR(
      cache_.GetVocabulary(request.vocabulary(), 0).status());
  const std::vector<std::string> names(request.names().begin(),
                                       request.names().end());
  auto head = store_.RemoveClasses({.name = request.vocabulary()}, names);
  if (absl::IsNotFound(head.status())) {
    return ResourceError(absl::StatusCode::kNotFound, "ovdiff.v1.Class",
                         names[0], head.status().message(),
                         reasons::kClassNotFound);
  }
  OVDIFF_RETURN_IF_ERROR(head.status());
  response.set_version(head->version);
  cache_.HeadChanged(*std::move(head));
  return absl::OkStatus();
}

absl::Status VocabularyServiceImpl::ListAll(
    const v1::ListVocabulariesRequest& request,
    v1::ListVocabulariesResponse& response) {
  OVDIFF_ASSIGN_OR_RETURN(const int page_size, PageSize(request.page_size()));
  constexpr char kList[] = "vocabularies";
  std::string after;
  if (!request.page_token().empty()) {
    OVDIFF_ASSIGN_OR_RETURN(after, ParsePageToken(kList, request.page_token()));
  }
  // One more than fits tells whether there is a next page.
  OVDIFF_ASSIGN_OR_RETURN(auto summaries,
                          store_.ListVocabularies(store::VocabularyId().project,
                                                  after, page_size + 1));
  const bool has_more = static_cast<int>(summaries.size()) > page_size;
  if (has_more) {
    summaries.resize(page_size);
  }
  for (const store::VocabularySummary& summary : summaries) {
    *response.add_vocabularies() = FromSummary(summary);
  }
  if (has_more) {
    response.set_next_page_token(
        MakePageToken(kList, summaries.back().id.name));
  }
  return absl::OkStatus();
}

}  // namespace ovdiff::server
