"""The model card's style sheet: system fonts, light and dark, phone and paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #faf9f7; --surface: #ffffff; --ink: #1b2027; --soft: #59626d; --line: #e3e0da;
  --accent: #1d5b8f; --second: #a4481c; --good: #1f6b45; --bad: #a12f2f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171b; --surface: #1b1f25; --ink: #e6e8ea; --soft: #a5adb7; --line: #2e343c;
    --accent: #7db4e6; --second: #eb9a6b; --good: #7cc49a; --bad: #f0908a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 60rem; margin: 0 auto; padding: 4.5rem 1.5rem 6rem; }
header { margin-bottom: 3rem; }
.eyebrow { margin: 0; color: var(--soft); font-size: .875rem; }
h1 {
  margin: .35rem 0 0; font-size: clamp(1.75rem, 5vw, 2.5rem); line-height: 1.15;
  font-weight: 650; letter-spacing: -.022em; text-wrap: balance; overflow-wrap: anywhere;
}
h2 { margin: 0 0 .25rem; font-size: 1.25rem; font-weight: 620; letter-spacing: -.01em; }
h3 { margin: 0 0 .5rem; font-size: .9375rem; font-weight: 600; overflow-wrap: anywhere; }
section { margin-top: 4rem; }
p { margin: 0 0 1rem; max-width: 44rem; text-wrap: pretty; }
h3.part { margin-top: 2.5rem; }
.note { color: var(--soft); font-size: .9375rem; }
.verdict {
  margin: 2rem 0 0; padding: 1rem 1.25rem; background: var(--surface); max-width: none;
  border: 1px solid var(--line); border-left: 4px solid var(--soft); border-radius: 6px;
}
.verdict strong { display: block; font-weight: 620; }
.verdict.passed { border-left-color: var(--good); }
.verdict.passed strong { color: var(--good); }
.verdict.failed { border-left-color: var(--bad); }
.verdict.failed strong { color: var(--bad); }
dl.facts {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr));
  gap: 1.25rem 2rem; margin: 2rem 0 0;
}
dl.facts dt { color: var(--soft); font-size: .875rem; }
dl.facts dd { margin: 0; overflow-wrap: anywhere; }
dl.facts .wide { grid-column: 1 / -1; }
dl.facts .wider { grid-column: span 2; }
.long { white-space: normal; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 1rem 0 0; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; }
th, td { padding: .4rem .75rem; text-align: right; vertical-align: middle; white-space: nowrap; }
th { font-weight: 500; color: var(--soft); font-size: .875rem; }
thead th { border-bottom: 1px solid var(--line); }
tbody tr + tr > * { border-top: 1px solid var(--line); }
th:first-child, td:first-child { padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
.text { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }
.text.whole { white-space: nowrap; }
tbody .text { color: var(--ink); font-size: .9375rem; font-weight: 400; }
table.headlines tbody tr + tr > * { border-top: 0; }
table.headlines .strip-cell { width: 55%; padding: 0 .5rem; }
table.headlines .value { font-weight: 620; }
.interval, .soft { color: var(--soft); }
.grid-2, .grid-3 { display: grid; gap: 2.5rem; }
.grid-2 { grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
.grid-3 { grid-template-columns: repeat(auto-fill, minmax(min(100%, 13rem), 1fr)); }
figure { margin: 1.25rem 0 0; min-width: 0; }
figcaption { color: var(--soft); font-size: .875rem; }
.key { display: inline-block; margin-right: 1rem; }
.key::before {
  content: ""; display: inline-block; width: .65rem; height: .65rem; border-radius: 50%;
  margin-right: .4rem; background: var(--accent);
}
.key.k2::before { background: var(--second); }
.key.k3::before { background: var(--good); }
.key.hollow::before { background: none; border: 2px solid var(--second); }
svg { display: block; overflow: visible; }
svg.chart { width: 100%; height: auto; max-width: 30rem; }
svg text { fill: var(--soft); font-size: 12px; font-family: inherit; }
svg.map { max-width: none; overflow: hidden; }
svg .count { fill: var(--ink); }
.grid, .axis { stroke: var(--line); stroke-width: 1; }
.track { stroke: var(--line); stroke-width: 1; }
.whisker { stroke: var(--accent); stroke-width: 3; stroke-linecap: round; stroke-opacity: .5; }
.dot { fill: var(--accent); }
.ring { fill: none; stroke: var(--second); stroke-width: 2; }
.line-1, .line-2, .line-3 {
  fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round;
}
.line-1 { stroke: var(--accent); } .point-1 { fill: var(--accent); }
.line-2 { stroke: var(--second); } .point-2 { fill: var(--second); }
.line-3 { stroke: var(--good); stroke-dasharray: 5 4; } .point-3 { fill: var(--good); }
.ideal { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 3 4; }
.gap { stroke: var(--second); stroke-width: 1.5; }
.bar-1 { fill: var(--accent); } .bar-2 { fill: var(--second); }
.hit { fill: var(--accent); } .miss { fill: var(--second); }
.frame { fill: var(--surface); stroke: var(--line); }
svg.map text { font-size: 12px; }
ol.mistakes { list-style: none; margin: 1.25rem 0 0; padding: 0; }
ol.mistakes li { padding: 1rem 0; border-top: 1px solid var(--line); }
ol.mistakes blockquote { margin: 0 0 .35rem; max-width: 46rem; overflow-wrap: anywhere; }
ol.mistakes p { margin: 0; font-size: .875rem; color: var(--soft); overflow-wrap: anywhere; }
ol.mistakes b { font-weight: 600; color: var(--ink); }
code {
  font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  overflow-wrap: anywhere;
}
ul.limits { max-width: 42rem; margin: 1rem 0 0; padding-left: 1.1rem; }
ul.limits li { margin-bottom: .5rem; }
details { margin-top: 1rem; }
summary { cursor: pointer; color: var(--accent); }
@media (max-width: 36rem) {
  main { padding: 2.5rem 1.1rem 4rem; }
  section { margin-top: 3rem; }
  table.headlines, table.headlines tbody, table.headlines tr { display: block; }
  table.headlines tr { display: grid; grid-template-columns: 1fr auto; padding: .5rem 0; }
  table.headlines td, table.headlines th { padding: 0; }
  table.headlines .interval { text-align: left; order: 3; grid-column: 1 / -1; font-size: .875rem; }
  table.headlines .strip-cell { width: auto; order: 4; grid-column: 1 / -1; padding: 0; }
}
@media print {
  :root { --ground: #fff; --surface: #fff; --ink: #000; --soft: #444; --line: #ccc;
    --accent: #1d5b8f; --second: #a4481c; --good: #1f6b45; --bad: #a12f2f; }
  body { font-size: 11pt; }
  main { max-width: none; padding: 0; }
  section { margin-top: 2rem; }
  figure, .verdict, tr, ol.mistakes li, dl.facts > div { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
  table, tbody .text { font-size: 9pt; }
  th, td { padding: .3rem .4rem; }
  svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  svg.map { max-width: 100%; height: auto; }
}
"""
