#include "client/demo_report.h"

#include <filesystem>
#include <sstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace ovdiff::client {
namespace {

namespace fs = std::filesystem;

constexpr char kStyle[] = R"css(
:root{color-scheme:light dark;--ink:#1d2329;--soft:#5d6873;--paper:#f6f7f9;--card:#fff;--line:#dfe3e8;--accent:#0b6bcb}
@media (prefers-color-scheme:dark){:root{--ink:#e8ecf0;--soft:#9aa5b1;--paper:#14181c;--card:#1d2329;--line:#323a43;--accent:#6db3f8}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:30px;line-height:1.2;margin:0 0 6px}h2{font-size:21px;margin:44px 0 12px}
p{margin:6px 0;max-width:76ch}.soft{color:var(--soft)}
.figures{display:flex;flex-wrap:wrap;gap:14px;margin:22px 0 10px}
.figure{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 20px;min-width:150px}
.figure b{display:block;font-size:28px;font-variant-numeric:tabular-nums}.figure span{color:var(--soft);font-size:14px}
.figure.main b{color:var(--accent)}
.chips{display:flex;flex-wrap:wrap;gap:8px;margin:12px 0}
.chip{display:inline-flex;align-items:center;gap:8px;background:var(--card);border:1px solid var(--line);border-radius:999px;padding:3px 12px 3px 8px;font-size:14px}
.chip i{width:14px;height:14px;border-radius:4px;border:1px solid #0004}.chip em{font-style:normal;color:var(--soft);font-variant-numeric:tabular-nums}
.scene{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:16px 18px;margin:14px 0}
.scene h3{margin:0;font-size:17px}.scene .meta{color:var(--soft);font-size:14px;margin:2px 0 12px}
.row{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px}
figure{margin:0}figure img{width:100%;border-radius:8px;display:block;image-rendering:auto}
figcaption{font-size:13px;color:var(--soft);margin-top:5px}
table{border-collapse:collapse;font-size:14px}td,th{padding:4px 18px 4px 0;text-align:left;border-bottom:1px solid var(--line)}
td.n{text-align:right;font-variant-numeric:tabular-nums}
code{font:13px/1.5 ui-monospace,monospace;background:var(--line);border-radius:5px;padding:1px 5px;overflow-wrap:anywhere}
pre{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px;overflow:auto;font:13px/1.6 ui-monospace,monospace}
)css";

// NaN is null in JSON.
std::string Percent(const Json& value) {
  return value.is_number()
             ? absl::StrFormat("%.1f %%", 100 * value.get<double>())
             : "–";
}

std::string Text(const Json& value) {
  return HtmlEscape(value.is_string() ? value.get<std::string>()
                                      : Dump(value, -1));
}

std::string Figure(absl::string_view label, const std::string& value,
                   absl::string_view style = "") {
  return absl::StrCat("<div class=\"figure ", style, "\"><b>", value,
                      "</b><span>", label, "</span></div>\n");
}

std::string Picture(const Json& path, absl::string_view caption) {
  return absl::StrCat("<figure><img loading=\"lazy\" src=\"", Text(path),
                      "\" alt=\"", HtmlEscape(caption), "\"><figcaption>",
                      HtmlEscape(caption), "</figcaption></figure>\n");
}

std::string Chip(const Json& colour, const Json& name,
                 const std::string& extra) {
  return absl::StrCat(
      "<span class=\"chip\"><i style=\"background:", Text(colour), "\"></i>",
      Text(name), " <em>", extra, "</em></span>\n");
}

std::string Head(const Json& summary) {
  std::string html = absl::StrCat(
      "<h1>Masks from words</h1>\n<p>The server was given ",
      summary["classes"].size(),
      " class names, painted examples of each with a diffusion model, kept "
      "prototypes "
      "of what it saw, and labelled every pixel of ",
      summary["scenes"].size(),
      " pictures with them. No labels and no training on these pictures were "
      "used.</p>\n<div class=\"figures\">\n");
  absl::StrAppend(&html,
                  Figure("mIoU, all spaces", Percent(summary["miou"]), "main"));
  for (const auto& [space, value] : summary["miou_single_space"].items()) {
    absl::StrAppend(&html,
                    Figure(absl::StrCat("mIoU, ", HtmlEscape(space), " alone"),
                           Percent(value)));
  }
  absl::StrAppend(
      &html,
      Figure("object against background, IoU",
             Percent(summary["foreground_iou"])),
      "</div>\n<p class=\"soft\">mIoU: per class, the pixels that truth and "
      "answer share over the pixels that either has, summed over all "
      "pictures; then the mean over all classes that occur, background "
      "included. 100 % is perfect. Nothing on this page was chosen: these "
      "are all pictures of the set, in order.</p>\n");
  if (!summary["reused_classes"].empty()) {
    absl::StrAppend(
        &html, "<p>", summary["reused_classes"].size(), " of ",
        summary["classes"].size() + summary["colour_classes"].size(),
        " classes came from the store: they were built before and cost "
        "nothing this time.</p>\n");
  }
  return html;
}

std::string Legend(const Json& summary) {
  std::string html = "<h2>Classes</h2>\n<div class=\"chips\">\n";
  for (const Json& entry : summary["classes"]) {
    absl::StrAppend(&html,
                    Chip(entry["colour"], entry["name"],
                         entry["iou"].is_number()
                             ? absl::StrCat("IoU ", Percent(entry["iou"]))
                             : "does not occur"));
  }
  return absl::StrCat(html, "</div>\n<p class=\"soft\">Background: IoU ",
                      Percent(summary["background_iou"]), "</p>\n");
}

std::string Found(const Json& scene) {
  std::string html = "<div class=\"chips\">";
  for (const Json& entry : scene["found"]) {
    absl::StrAppend(
        &html, Chip(entry["colour"], entry["name"], Percent(entry["area"])));
  }
  return scene["found"].empty() ? "" : html + "</div>\n";
}

std::string Scene(const Json& scene) {
  std::string html =
      absl::StrCat("<section class=\"scene\"><h3>", Text(scene["caption"]),
                   "</h3><p class=\"meta\">", Text(scene["file"]), " · ",
                   Text(scene["milliseconds"]), " ms");
  if (scene.contains("miou")) {
    absl::StrAppend(&html, " · mIoU ", Percent(scene["miou"]));
  }
  absl::StrAppend(&html, "</p>\n<div class=\"row\">\n",
                  Picture(scene["pictures"]["picture"], "picture"));
  if (scene["pictures"].contains("truth")) {
    absl::StrAppend(&html, Picture(scene["pictures"]["truth"], "truth"));
  }
  absl::StrAppend(&html, Picture(scene["pictures"]["answer"], "answer"));
  for (const auto& [key, path] : scene["pictures"].items()) {
    if (key.rfind("space_", 0) == 0) {
      absl::StrAppend(&html, Picture(path, key.substr(6) + " alone"));
    }
  }
  return absl::StrCat(html, "</div>\n", Found(scene), "</section>\n");
}

std::string Colours(const Json& summary) {
  if (summary["colour_scenes"].empty()) {
    return "";
  }
  std::string html =
      "<h2>Told apart by colour only</h2>\n<p class=\"soft\">A second "
      "vocabulary that "
      "knows nothing but these classes. What pair it is given is up to you; "
      "classes "
      "are words.</p>\n<div class=\"chips\">\n";
  for (const Json& entry : summary["colour_classes"]) {
    absl::StrAppend(&html, Chip(entry["colour"], entry["name"], ""));
  }
  absl::StrAppend(&html, "</div>\n");
  for (const Json& scene : summary["colour_scenes"]) {
    absl::StrAppend(&html, Scene(scene));
  }
  return html;
}

std::string Foot(const Json& summary) {
  const Json& server = summary["server"];
  const std::string vocabulary = Text(summary["vocabulary"]);
  return absl::StrCat(
      "<h2>Try it</h2>\n<pre>ovdiff add \"green bag\" --vocabulary ",
      vocabulary, "\novdiff segment your-photo.jpg --vocabulary ", vocabulary,
      " -o out/\novdiff classes --vocabulary ", vocabulary,
      "</pre>\n<h2>What made this "
      "page</h2>\n<table>\n<tr><th>server</th><td>ovdiffd ",
      Text(server["version"]), " on ", Text(server["device_name"]), " (",
      Text(server["device"]), ")</td></tr>\n<tr><th>models</th><td>",
      Text(server["bundle"]), "</td></tr>\n<tr><th>vocabulary</th><td>",
      vocabulary, ", version ", Text(summary["version"]),
      "</td></tr>\n<tr><th>generator fingerprint</th><td><code>",
      Text(server["fingerprints"]["generator"]),
      "</code></td></tr>\n<tr><th>encoder fingerprint</th><td><code>",
      Text(server["fingerprints"]["encoder"]),
      "</code></td></tr>\n<tr><th>made</th><td>", Text(summary["time"]),
      ", in ", absl::StrFormat("%.1f", summary["seconds"].get<double>()),
      " s</td></tr>\n</table>\n<p class=\"soft\">All figures: <a "
      "href=\"summary.json\">summary.json</a>. When you report a problem, send "
      "that "
      "file.</p>\n");
}

}  // namespace

std::string HtmlEscape(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"},
                                    {"<", "&lt;"},
                                    {">", "&gt;"},
                                    {"\"", "&quot;"},
                                    {"'", "&#39;"}});
}

std::string DemoPage(const Json& summary) {
  std::string html = absl::StrCat(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta "
      "charset=\"utf-8\">\n<meta "
      "name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<title>OVDiff demo</title>\n<style>",
      kStyle, "</style>\n</head>\n<body>\n<main>\n", Head(summary),
      Legend(summary), "<h2>Scenes</h2>\n");
  for (const Json& scene : summary["scenes"]) {
    absl::StrAppend(&html, Scene(scene));
  }
  return absl::StrCat(html, Colours(summary), Foot(summary),
                      "</main>\n</body>\n</html>\n");
}

std::string DemoWords(const Json& summary, const std::string& out_folder,
                      const std::string& server) {
  const auto percent = [](const Json& value) {
    return value.is_number()
               ? absl::StrFormat("%.1f %%", 100 * value.get<double>())
               : std::string("unknown");
  };
  std::ostringstream out;
  const std::string vocabulary = summary["vocabulary"].get<std::string>();
  out << "\nmIoU with background, all spaces: " << percent(summary["miou"])
      << "\n";
  for (const auto& [space, value] : summary["miou_single_space"].items()) {
    out << "                     " << space << " alone: " << percent(value)
        << "\n";
  }
  out << "Objects against background, IoU:  "
      << percent(summary["foreground_iou"]) << "\n";
  const size_t reused = summary["reused_classes"].size();
  if (reused > 0) {
    out << reused << " classes were reused from the store: "
        << absl::StrJoin(
               summary["reused_classes"].get<std::vector<std::string>>(), ", ")
        << "\n";
  } else {
    out << "Every class was built now. Run the demo again: it will reuse "
           "them.\n";
  }
  const std::string page =
      fs::absolute(fs::path(out_folder) / "index.html").string();
  out << "\nLook at  " << page << "\n         "
      << fs::absolute(fs::path(out_folder) / "summary.json").string()
      << "\nWhile the server runs:\n         ovdiff add \"green bag\" "
         "--vocabulary "
      << vocabulary << " --server " << server
      << "\n         ovdiff segment your-photo.jpg --vocabulary " << vocabulary
      << " --server " << server << " -o out/\n";
  return out.str();
}

}  // namespace ovdiff::client
