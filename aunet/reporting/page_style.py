"""The style sheet of the report, without external fonts or scripts."""

STYLE = """
:root { --ink: #1f2937; --quiet: #6b7280; --line: #e5e7eb; --ground: #ffffff; --panel: #f8fafc; --accent: #0f4c81; }
* { box-sizing: border-box; }
html { color-scheme: light; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; font-size: 15px; }
main { max-width: 1180px; margin: 0 auto; padding: 2rem 1.5rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 2.75rem 0 .75rem; padding-bottom: .35rem; border-bottom: 2px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: .4rem 0; max-width: 80ch; }
.quiet, .note { color: var(--quiet); }
.note { font-size: .87rem; }
.banner { background: #fff4d6; border: 1px solid #e8b93e; border-left-width: 6px; border-radius: 6px;
  padding: .7rem 1rem; margin: 1rem 0; max-width: none; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: .75rem; margin: 1.25rem 0 0; }
.tile { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.15rem; line-height: 1.4; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
.tile span { color: var(--quiet); font-size: .83rem; }
.swatch { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin-right: .4em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; margin: .5rem 0; }
th, td { padding: .38rem .9rem .38rem 0; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child, .words td, .words th { text-align: left; }
thead th { border-bottom: 2px solid var(--ink); font-weight: 600; white-space: nowrap; }
.words td:first-child { white-space: nowrap; color: var(--quiet); padding-right: 2rem; }
.words td { overflow-wrap: anywhere; }
td small { display: block; color: #b45309; }
figure { margin: 1rem 0 1.5rem; }
figure img { display: block; max-width: 100%; height: auto; }
figure img[src^="data:image/svg"] { width: 100%; }
figcaption { color: var(--quiet); font-size: .87rem; margin-top: .35rem; }
figcaption strong { color: var(--ink); }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--accent); }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; overflow-x: auto;
  font-size: .82rem; line-height: 1.45; }
@media print { main { max-width: none; padding: 0; } figure, table { break-inside: avoid; } }
"""
