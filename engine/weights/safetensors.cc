#include "engine/weights/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <new>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/weights/safetensors_header.h"
#include "nlohmann/json.hpp"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

constexpr uint64_t kLengthBytes = 8;

torch::Dtype TorchDtype(SafetensorsDtype dtype) {
  switch (dtype) {
    case SafetensorsDtype::kBool:
      return torch::kBool;
    case SafetensorsDtype::kU8:
      return torch::kByte;
    case SafetensorsDtype::kI8:
      return torch::kChar;
    case SafetensorsDtype::kI16:
      return torch::kShort;
    case SafetensorsDtype::kI32:
      return torch::kInt;
    case SafetensorsDtype::kI64:
      return torch::kLong;
    case SafetensorsDtype::kF16:
      return torch::kHalf;
    case SafetensorsDtype::kBF16:
      return torch::kBFloat16;
    case SafetensorsDtype::kF32:
      return torch::kFloat;
    case SafetensorsDtype::kF64:
      return torch::kDouble;
  }
  return torch::kFloat;
}

// The inverse of TorchDtype; false where the format has no name for it.
bool FindDtype(torch::Dtype dtype, SafetensorsDtype* found) {
  for (int i = 0; i <= static_cast<int>(SafetensorsDtype::kF64); ++i) {
    if (TorchDtype(static_cast<SafetensorsDtype>(i)) == dtype) {
      *found = static_cast<SafetensorsDtype>(i);
      return true;
    }
  }
  return false;
}

// A file that is only read, front to back.
class InputFile {
 public:
  InputFile() = default;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }

  absl::Status Open(const std::string& path) {
    // Non-blocking, so that a fifo in a weights folder cannot hang the server.
    fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0) {
      const int error = errno;
      const std::string message =
          absl::StrCat("cannot open: ", std::strerror(error));
      return error == ENOENT ? absl::NotFoundError(message)
                             : absl::FailedPreconditionError(message);
    }
    struct stat info {};
    if (fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
      return absl::FailedPreconditionError("not a regular file");
    }
    size_ = static_cast<uint64_t>(info.st_size);
    return absl::OkStatus();
  }

  uint64_t size() const { return size_; }

  // Exactly `bytes` more, or an error.
  absl::Status Read(void* to, uint64_t bytes) {
    char* at = static_cast<char*>(to);
    while (bytes > 0) {
      constexpr uint64_t kChunk = uint64_t{1} << 30;
      const ssize_t got = read(fd_, at, std::min(bytes, kChunk));
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got <= 0) {
        return absl::FailedPreconditionError(
            got == 0 ? "the file ended early: it is truncated, or was "
                       "shortened while being read"
                     : absl::StrCat("cannot read: ", std::strerror(errno)));
      }
      at += got;
      bytes -= static_cast<uint64_t>(got);
    }
    return absl::OkStatus();
  }

 private:
  int fd_ = -1;
  uint64_t size_ = 0;
};

absl::StatusOr<std::string> ReadHeader(InputFile& file) {
  if (file.size() < kLengthBytes) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the file has ", file.size(), " bytes, a header length needs 8"));
  }
  unsigned char length[kLengthBytes];
  OVDIFF_RETURN_IF_ERROR(file.Read(length, sizeof(length)));
  uint64_t bytes = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    bytes |= uint64_t{length[i]} << (8 * i);
  }
  if (bytes > SafetensorsLimits::kMaxHeaderBytes) {
    return absl::FailedPreconditionError(
        absl::StrCat("the header claims ", bytes, " bytes; at most ",
                     SafetensorsLimits::kMaxHeaderBytes, " are allowed"));
  }
  if (bytes > file.size() - kLengthBytes) {
    return absl::FailedPreconditionError(
        absl::StrCat("the header claims ", bytes, " bytes, the file has ",
                     file.size() - kLengthBytes, " after its length"));
  }
  std::string header(bytes, '\0');
  OVDIFF_RETURN_IF_ERROR(file.Read(header.data(), header.size()));
  return header;
}

// Bytes other than 0 and 1 in a C++ bool are undefined behaviour downstream.
absl::Status CheckBools(const torch::Tensor& tensor, const std::string& name) {
  const auto* bytes = static_cast<const uint8_t*>(tensor.const_data_ptr());
  if (std::any_of(bytes, bytes + tensor.numel(),
                  [](uint8_t byte) { return byte > 1; })) {
    return absl::FailedPreconditionError(absl::StrCat(
        "tensor '", name, "' is BOOL and holds bytes other than 0 and 1"));
  }
  return absl::OkStatus();
}

absl::StatusOr<StateDict> ReadAll(const std::string& path) {
  InputFile file;
  OVDIFF_RETURN_IF_ERROR(file.Open(path));
  OVDIFF_ASSIGN_OR_RETURN(const std::string header, ReadHeader(file));
  const uint64_t data_bytes = file.size() - kLengthBytes - header.size();
  OVDIFF_ASSIGN_OR_RETURN(const std::vector<SafetensorsEntry> entries,
                          ParseSafetensorsHeader(header, data_bytes));
  StateDict tensors;
  // The entries tile the data in order, so reading on is enough.
  for (const SafetensorsEntry& entry : entries) {
    torch::Tensor tensor = torch::empty(entry.shape, TorchDtype(entry.dtype));
    OVDIFF_RETURN_IF_ERROR(
        file.Read(tensor.mutable_data_ptr(), entry.end - entry.begin));
    if (entry.dtype == SafetensorsDtype::kBool) {
      OVDIFF_RETURN_IF_ERROR(CheckBools(tensor, entry.name));
    }
    tensors.emplace(entry.name, std::move(tensor));
  }
  return tensors;
}

absl::Status WithPath(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(path, ": ", status.message()));
}

// The tensors as WriteSafetensors lays them out, and the header that says so.
absl::StatusOr<std::string> MakeHeader(const StateDict& tensors) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  header["__metadata__"] = {{"format", "pt"}};
  int64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    SafetensorsDtype dtype;
    if (!FindDtype(tensor.scalar_type(), &dtype)) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", name, "' has a dtype safetensors lacks"));
    }
    const int64_t end = offset + tensor.numel() * tensor.element_size();
    header[name] = {{"dtype", std::string(SafetensorsDtypeName(dtype))},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((kLengthBytes - text.size() % kLengthBytes) % kLengthBytes, ' ');
  return text;
}

}  // namespace

absl::StatusOr<StateDict> ReadSafetensors(const std::string& path) {
  try {
    absl::StatusOr<StateDict> tensors = ReadAll(path);
    return tensors.ok() ? std::move(tensors) : WithPath(path, tensors.status());
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": no memory for its tensors"));
  } catch (const std::exception& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": cannot allocate its tensors: ", error.what()));
  }
}

absl::Status WriteSafetensors(const std::string& path,
                              const StateDict& tensors) {
  try {
    OVDIFF_ASSIGN_OR_RETURN(const std::string header, MakeHeader(tensors));
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    char length[kLengthBytes];
    for (size_t i = 0; i < kLengthBytes; ++i) {
      length[i] =
          static_cast<char>((uint64_t{header.size()} >> (8 * i)) & 0xff);
    }
    file.write(length, sizeof(length));
    file.write(header.data(), static_cast<std::streamsize>(header.size()));
    for (const auto& [name, tensor] : tensors) {
      const torch::Tensor data = tensor.cpu().contiguous();
      file.write(static_cast<const char*>(data.const_data_ptr()),
                 static_cast<std::streamsize>(data.nbytes()));
    }
    file.close();
    if (!file) {
      return absl::UnavailableError(absl::StrCat("cannot write ", path));
    }
    return absl::OkStatus();
  } catch (const std::exception& error) {
    return absl::InternalError(
        absl::StrCat("cannot write ", path, ": ", error.what()));
  }
}

}  // namespace ovdiff::engine
