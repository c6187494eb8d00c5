r"""How an HTML page looks, and how its tables are sorted."""

STYLE = """
:root{--ink:#1d2733;--soft:#5b6b7b;--line:#dfe5ea;--paper:#fff;--band:#f6f8fa;--ours:#0072b2;
--bar:#b9c7d3;--warm:213,94,0;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--ink:#e6ebf0;--soft:#9fb0c0;--line:#313d49;--paper:#151b22;
--band:#1c242d;--ours:#56b4e9;--bar:#465665}}
*{box-sizing:border-box}
body{margin:0;font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:var(--ink);
background:var(--paper)}
nav{position:sticky;top:0;z-index:2;display:flex;flex-wrap:wrap;gap:4px 18px;padding:10px 24px;
background:var(--paper);border-bottom:1px solid var(--line)}
nav a{color:var(--soft);text-decoration:none}
nav a:hover{color:var(--ours)}
main{max-width:1360px;margin:0 auto;padding:16px 24px 80px}
h1{font-size:30px;margin:20px 0 8px}
h2{font-size:22px;margin:48px 0 4px;scroll-margin-top:60px}
section{scroll-margin-top:50px}
.facts{color:var(--soft);margin-top:0}
code{font-size:.92em;background:var(--band);padding:0 4px;border-radius:3px}
.scroll{overflow-x:auto;margin:14px 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13.5px;min-width:50%}
th{position:relative;text-align:right;font-weight:600;color:var(--soft);cursor:pointer;
padding:6px 10px;border-bottom:2px solid var(--line);vertical-align:bottom}
th:first-child,td.name{text-align:left}
th[data-order]::after{content:" ▾";color:var(--ours)}
th[data-order="up"]::after{content:" ▴"}
td{text-align:right;padding:4px 10px;border-bottom:1px solid var(--line);white-space:nowrap}
tbody tr:hover{background:var(--band)}
td.best{font-weight:700}
table.heat td[style]{background:rgba(0,114,178,calc(var(--heat,0)*.32))}
.top{display:flex;flex-wrap:wrap;align-items:flex-start;gap:8px 32px}
.top figure{flex:1 1 380px;min-width:0;margin:14px 0 4px}
.forest{flex:1.4 1 520px;min-width:0;max-width:820px;display:block;margin:14px 0 4px}
.forest .grid{stroke:var(--line)}
.forest text{font-size:12px;fill:var(--soft)}
.forest .row{text-anchor:end;fill:var(--ink)}
.forest .row.ours{font-weight:700;fill:var(--ours)}
.forest .tick{text-anchor:middle}
.forest rect{fill:var(--bar)}
.forest rect.ours{fill:var(--ours);opacity:.75}
.forest circle{fill:rgba(var(--warm),.75)}
details{margin:8px 0}
summary{cursor:pointer;color:var(--ours)}
figure{margin:12px 0}
figure img{max-width:100%;height:auto;background:#fff;border:1px solid var(--line);border-radius:6px}
figcaption{color:var(--soft);font-size:13px}
@media print{nav{display:none}details>*{display:block}}
"""

SCRIPT = """
for (const head of document.querySelectorAll("th")) {
  const sort = () => {
    const table = head.closest("table"), body = table.tBodies[0];
    const column = [...head.parentNode.children].indexOf(head);
    const up = head.dataset.order === "down";
    for (const other of head.parentNode.children) delete other.dataset.order;
    head.dataset.order = up ? "up" : "down";
    const key = row => row.cells[column].dataset.key;
    const rows = [...body.rows].sort((a, b) => {
      const x = key(a), y = key(b), n = Number(x), m = Number(y);
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = Number.isNaN(n) || Number.isNaN(m) ? y.localeCompare(x) : n - m;
      return up ? order : -order;
    });
    body.append(...rows);
  };
  head.addEventListener("click", sort);
  head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
}
"""
