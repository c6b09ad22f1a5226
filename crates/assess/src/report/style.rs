//! The page's style: one sheet, no assets, light and dark, screen and paper.

/// The sheet.
pub(super) const STYLE: &str = "
:root{color-scheme:light dark;--ink:#10231f;--soft:#48605b;--line:#cfdbd8;--ground:#fff;--panel:#f0f5f4;--accent:#0a6657;
--l0:#951b2c;--l1:#834000;--l2:#1c4b8a;--l3:#17613a;--open:#48605b;--track:#dbe5e2}
@media (prefers-color-scheme:dark){:root{--ink:#e7f0ed;--soft:#a5b8b3;--line:#283a36;--ground:#0b1412;--panel:#121e1b;--accent:#63d2bd;
--l0:#f6a6af;--l1:#f6ba79;--l2:#a3c8f8;--l3:#86daa6;--open:#a5b8b3;--track:#2a3d39}}
*{box-sizing:border-box}
html{font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;color:var(--ink);background:var(--ground)}
body{margin:0 auto;max-width:72rem;padding:1.25rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:.2rem 0 .4rem}
h2{font-size:1.4rem;line-height:1.25;margin:2.6rem 0 .5rem;padding-top:.6rem;border-top:2px solid var(--line)}
h3{font-size:1.08rem;margin:1.6rem 0 .4rem}
p{margin:.4rem 0;max-width:46rem}
a{color:var(--accent)}
a:focus-visible,[tabindex]:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--ground);padding:.4rem .8rem}
.soft,.meta{color:var(--soft)}.meta{font-size:.875rem;font-weight:400}
.tag{display:inline-block;margin-top:.3rem;padding:0 .45rem;border:1px solid var(--line);border-radius:.6rem;font-size:.8rem;color:var(--soft)}
.figure+.figure{margin-top:.8rem}
code{font:.92em ui-monospace,'SF Mono',Menlo,Consolas,monospace;background:var(--panel);padding:.05em .3em;border-radius:.25em}
nav ul{list-style:none;padding:0;margin:.8rem 0;display:flex;flex-wrap:wrap;gap:.3rem 1.2rem}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:.5rem}
table{border-collapse:collapse;width:100%;font-size:.95rem}
caption{text-align:left;padding:.7rem .8rem;color:var(--soft);font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.6rem .8rem;border-top:1px solid var(--line)}
thead th{background:var(--panel);font-size:.85rem;color:var(--soft)}
tbody th{font-weight:600}
.id{display:inline-block;font-size:.8rem;color:var(--soft);font-weight:600;margin-right:.4rem;white-space:nowrap}
.level{display:inline-flex;align-items:center;gap:.4rem;font-weight:600;white-space:nowrap}
.level svg{flex:none}
.look{table-layout:fixed;min-width:44rem}.look th:nth-child(1){width:25%}.look th:nth-child(2){width:27%}.look th:nth-child(3){width:23%}.look td{overflow-wrap:anywhere}
.r0{color:var(--l0)}.r1{color:var(--l1)}.r2{color:var(--l2)}.r3{color:var(--l3)}.rx{color:var(--open)}
.bar{display:block;width:100%;max-width:11rem;height:.55rem;margin:.25rem 0}
.bar .t{fill:var(--track)}.bar .v{fill:currentColor}.bar .m{fill:var(--ink)}
ul.plain{margin:.2rem 0 0;padding-left:1.05rem}ul.plain li{margin:.15rem 0}
ol.steps{list-style:none;padding:0;margin:1rem 0;counter-reset:s}
ol.steps>li{counter-increment:s;border:1px solid var(--line);border-radius:.5rem;padding:.8rem 1rem .9rem 3.4rem;margin:.7rem 0;position:relative;break-inside:avoid}
ol.steps>li::before{content:counter(s);position:absolute;left:1rem;top:.75rem;font-size:1.25rem;font-weight:700;color:var(--accent)}
ol.steps h3{margin:0 0 .2rem}
dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:.15rem .9rem;margin:.5rem 0 0;font-size:.95rem}
dl.facts dt{color:var(--soft)}dl.facts dd{margin:0;min-width:0;overflow-wrap:anywhere}
.sum{display:flex;flex-wrap:wrap;gap:.8rem;margin:1rem 0;padding:0;list-style:none}
.sum li{background:var(--panel);border-radius:.5rem;padding:.6rem 1rem;min-width:8.5rem}
.sum b{display:block;font-size:1.5rem;line-height:1.2}
.mix{display:block;width:8rem;height:.7rem;margin-top:.35rem}.mix .a{fill:var(--l3)}.mix .b{fill:var(--l2)}.mix .c{fill:var(--track)}
.note{border-left:4px solid var(--l1);padding:.1rem 0 .1rem .7rem;margin:.4rem 0;font-size:.9rem}
.rows td:nth-child(2){min-width:8.5rem}.rows th[scope=row]{min-width:12rem}.rows td{min-width:12rem}
.rows{table-layout:auto}
@media (max-width:60rem){th,td{padding:.55rem .6rem}.rows th[scope=row],.rows td{min-width:10.5rem}}
@media print{:root{color-scheme:light;--ink:#000;--soft:#333;--line:#999;--ground:#fff;--panel:#f2f2f2;--accent:#000;--l0:#7a1e16;--l1:#6b4600;--l2:#123f73;--l3:#084d35;--open:#444;--track:#ddd}
html{font-size:10.5pt}body{max-width:none;padding:0}nav,.skip{display:none}.scroll{overflow:visible;border:0}
h2{break-before:page;break-after:avoid}h2.first{break-before:auto}h3{break-after:avoid}thead{display:table-header-group}
tr,li{break-inside:avoid}a{text-decoration:none;color:inherit}
.bar,.mix,.level svg{-webkit-print-color-adjust:exact;print-color-adjust:exact}
.rows th[scope=row],.rows td,.rows td:nth-child(2){min-width:0}}
@page{margin:15mm}
";
