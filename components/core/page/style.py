"""The report page's style sheet: light and dark, from 360 pixels to wide screens, on paper, by keyboard."""

from __future__ import annotations

from components.core.page.theme import DARK, LIGHT, STATES, variables

_SCHEMES = f":root{{{variables(LIGHT)}}}@media (prefers-color-scheme:dark){{:root{{{variables(DARK)}}}}}"
_STATES = "".join(f".is-{s}{{--state:var(--{s});--on:var(--on-{s})}}" for s in STATES)
_DASHES = ("none", "7 4", "2 4", "9 3 2 3", "14 4", "4 3")
_SERIES = "".join(f".s{i}{{--c:var(--s{i});--dash:{d}}}" for i, d in enumerate(_DASHES))

_ROUTE = """
.route text{fill:var(--ink);text-anchor:middle;font:500 12px system-ui,sans-serif;font-variant-numeric:tabular-nums}
.route .belt,.route .rollers,.route .arrow{fill:none;stroke-linecap:round;stroke-linejoin:round}
.route .belt{stroke:var(--belt);stroke-width:15}
.route .rollers{stroke:var(--roller);stroke-width:5;stroke-dasharray:0 11.2}
.route .arrow{stroke:var(--amber);stroke-width:3}
.route .box{fill:var(--on);stroke:var(--state);stroke-width:1.5}
.route .copy{fill:var(--ground);stroke:var(--state);stroke-width:1}
.route .tape{fill:var(--state);opacity:.28}
.route .sign{fill:none;stroke:var(--state);stroke-width:2;stroke-linecap:round;stroke-linejoin:round}
.route .is-running .sign path{fill:var(--state)}
.route .name{font-weight:650;fill:var(--state)}
.route .figure{font-weight:650;font-size:13px}
.route .detail{fill:var(--muted);font-size:11.5px}
.route .is-not-started .box{stroke-dasharray:4 4;fill:none}
.route .is-not-started .tape{display:none}
.route .is-not-started .figure{font-weight:500;fill:var(--muted)}
.route .is-failed .figure{fill:var(--failed)}
.route .is-killed .figure{fill:var(--killed)}
.route .is-running .figure{fill:var(--running)}
.route .is-plain{--state:var(--ink);--on:#f3d9a4}
.route .is-plain .sign{stroke:none;fill:var(--ink);font-weight:500}
@media (prefers-color-scheme:dark){.route .is-plain{--on:#5b4517}}
"""
ROUTE_CSS = _SCHEMES + _STATES + _ROUTE
"""What a picture of the route needs to stand alone."""

_BASE = """
*{box-sizing:border-box}
html{color-scheme:light dark;font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
 -webkit-text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0;background:var(--ground);color:var(--ink);overflow-wrap:anywhere}
bdi{unicode-bidi:isolate}
a{color:var(--link);text-underline-offset:.15em}
:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:3px}
h1,h2,h3{line-height:1.2;margin:0;font-weight:650;letter-spacing:-.01em}
h1{font-size:clamp(1.6rem,1.2rem + 1.6vw,2.3rem)}
h2{font-size:1.3rem}
h3{font-size:1rem}
p,ul,dl{margin:0}
small{font-size:.85em;color:var(--muted)}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.6rem 0 0}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.92em}
.stripe{height:7px;background:repeating-linear-gradient(-45deg,var(--amber) 0 14px,#22252a 14px 28px)}
.wrap{max-width:88rem;margin:0 auto;padding:1.6rem clamp(1rem,3vw,2.4rem) 4rem}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:1rem;background:var(--surface);padding:.5rem 1rem;z-index:2}
.head{display:flex;flex-wrap:wrap;gap:.6rem 1.2rem;align-items:center}
.head h1 small{font-weight:450;font-size:.7em;letter-spacing:0}
.badge{display:inline-flex;align-items:center;gap:.4em;padding:.16em .65em .16em .5em;border-radius:1.2em;
 font-weight:600;font-size:.86rem;color:var(--state);background:var(--on)}
.head .badge{font-size:1rem;padding:.3em .9em .3em .7em}
.glyph{width:1em;height:1em;flex:none;fill:none;stroke:currentColor;stroke-width:2.2;stroke-linecap:round;
 stroke-linejoin:round}
.is-running .glyph path{fill:currentColor}
.job{color:var(--muted);margin-top:.4rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,9.5rem),1fr));gap:.75rem;margin-top:1.4rem}
.tiles>div{background:var(--surface);border:1px solid var(--line);border-radius:10px;padding:.7rem .95rem}
dt{color:var(--muted);font-size:.87rem}
dd{margin:0;font-variant-numeric:tabular-nums}
.tiles dd{font-size:1.3rem;font-weight:650;letter-spacing:-.01em}
.tiles dd small{font-size:.82rem;font-weight:450;letter-spacing:0;display:block}
.alarm{margin-top:1.4rem;background:var(--on-failed);border:1px solid var(--failed);border-left-width:7px;
 border-radius:10px;padding:1.1rem 1.3rem}
.alarm.is-killed{background:var(--on-killed);border-color:var(--killed)}
.alarm h2{color:var(--state)}
.alarm pre{margin:.6rem 0 0;font-size:1.08rem;line-height:1.5;max-height:32rem;overflow:auto}
.alarm p{margin-top:.6rem}
.part{margin-top:2rem}
.part>h2{margin-bottom:.8rem}
.route-box{margin-top:2rem}
.route{width:100%;height:auto;display:none;margin:0 auto}
.route a{text-decoration:none}
.route a:hover .box{stroke-width:2.5}
.toc{display:none}
.step{margin-top:2.6rem;padding-top:1.4rem;border-top:1px solid var(--line)}
.step-head{display:flex;flex-wrap:wrap;gap:.4rem .8rem;align-items:center}
.step-head h2 span{color:var(--muted);font-weight:450;margin-right:.35em}
.measures{color:var(--muted);display:flex;flex-wrap:wrap;gap:.1rem 1.1rem;font-variant-numeric:tabular-nums}
.summary{margin-top:.5rem;max-width:75ch;font-size:1.05rem}
.metrics{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr));gap:.5rem 1.2rem;margin-top:.9rem}
.metrics dd{font-size:1.15rem;font-weight:600}
.cards{columns:2 24rem;column-gap:1rem;margin-top:1.1rem}
.card{background:var(--surface);border:1px solid var(--line);border-radius:10px;padding:1rem 1.1rem;margin-bottom:1rem;
 break-inside:avoid}
.card.wide{column-span:all;margin-top:1rem}
.card.wide:first-child{margin-top:0}
.columns>div>.cards{margin-top:2rem}
.part>.card{margin:0}
.card>h2,.card>h3{font-size:1rem;margin-bottom:.7rem}
.unit{color:var(--muted);font-size:.87rem;margin:-.5rem 0 .4rem}
.note{color:var(--muted);font-size:.87rem;margin-top:.6rem}
.text{white-space:pre-wrap;max-width:75ch}
.facts{display:grid;gap:.3rem}
.facts>div{display:grid;grid-template-columns:minmax(6rem,1fr) 2fr;gap:1rem;padding:.18rem 0;
 border-top:1px solid var(--grid)}
.facts>div:first-child{border-top:0}
.reasons{padding-left:1.2rem;margin-top:.7rem;display:grid;gap:.25rem}
details>summary{cursor:pointer;color:var(--link);font-size:.92rem;padding:.35rem 0;width:fit-content}
.step>details{margin-top:.9rem}
.long:has(>details[open])>.preview{display:none}
"""

_TABLES = """
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:500}
.scroll{overflow-x:auto;max-width:100%}
.scroll:focus-visible{outline-offset:0}
.data{width:100%;overflow-wrap:normal}
.data th,.data td{padding:.38rem .8rem .38rem 0;border-bottom:1px solid var(--grid);vertical-align:top;
 max-width:min(28rem,62vw)}
.data thead th{color:var(--muted);font-size:.87rem;border-bottom:1px solid var(--line);vertical-align:bottom;
 white-space:nowrap}
.data tr>:last-child{padding-right:0}
.data td{min-width:3.5rem;overflow-wrap:break-word}
.data .number{text-align:right;white-space:nowrap}
.data .number+:not(.number){padding-left:.8rem}
.rows{width:100%;table-layout:fixed}
.rows caption{text-align:left;font-weight:600;padding:.9rem 0 .3rem;font-size:.92rem}
.rows th,.rows td{padding:.2rem 0;vertical-align:middle}
.rows th{width:30%;padding-right:.8rem;font-size:.93rem;line-height:1.3}
.rows th small{display:block}
.rows .value{width:24%;padding-left:.9rem;font-size:.93rem;line-height:1.25}
.rows .value b{font-weight:650;margin-right:.45em}
.rows .value span{color:var(--muted);font-size:.87em;white-space:nowrap}
.wide .rows th{width:22%}
.wide .rows .value{width:27%;padding-left:1.8rem}
.rows svg{display:block;width:100%;overflow:visible}
.timeline th{width:8.5rem}
.timeline .value{width:7rem}
.timeline a{display:inline-flex;gap:.5em;align-items:center;color:var(--ink);text-decoration:none}
.timeline .glyph{color:var(--state)}
.timeline a:hover bdi{text-decoration:underline}
.timeline .glyph{width:1em;overflow:visible}
.matrix th,.matrix td{padding:.55rem .7rem;text-align:center}
.matrix th{max-width:11rem;overflow-wrap:break-word}
.matrix tbody td{background:rgb(var(--heat) / calc(var(--share) * .42));border:2px solid var(--surface);
 min-width:6.2rem}
.matrix tbody th{text-align:right}
.matrix b{display:block;font-weight:650}
.matrix td small{color:var(--ink)}
.axis-name{color:var(--muted);font-weight:450}
"""

_CHARTS = """
.axis-name{font-size:.8rem}
.tick{font-size:.8rem;fill:var(--muted)}
.x{text-anchor:middle}
.tick.y{text-anchor:end}
.plot-box{padding:.4rem 1rem 0 3.4rem;max-width:46rem}
.plot-box .axis-name{margin:0 0 .7rem -2.6rem}
.plot-box .axis-name.x{margin:0;text-align:center}
.plot-box.square{max-width:27rem}
.plot{display:block;width:100%;height:13rem;overflow:visible;margin-bottom:1.9rem}
.square .plot{height:17rem}
.plot svg{overflow:visible}
.grid{stroke:var(--grid)}
.base,.stub,.zero{stroke:var(--muted)}
.stub{stroke-width:0}
.diagonal{stroke:var(--muted);stroke-dasharray:4 4}
polyline{fill:none;stroke:var(--c);stroke-width:2.2;stroke-dasharray:var(--dash);vector-effect:non-scaling-stroke;
 stroke-linejoin:round}
.outline polyline{stroke-dasharray:none;fill:var(--c);fill-opacity:.13}
.curve circle{fill:var(--c);stroke:var(--surface);stroke-width:1.5}
.bins rect{fill:var(--c);opacity:.72;stroke:var(--surface);stroke-width:.7}
.bins rect:hover{opacity:1}
.bar{height:.95rem}
.bar+.bar{margin-top:2px}
.bar rect{fill:var(--c)}
.bar.s1 rect,.stack g+g rect{fill-opacity:.28;stroke:var(--c);stroke-width:1.5}
.whiskers{height:1.9rem}
.whisker{stroke:var(--c);stroke-width:2.5}
.cap{stroke:var(--c);stroke-width:2}
.whiskers circle{fill:var(--c);stroke:var(--surface);stroke-width:1.5}
.floor{stroke:var(--s1);stroke-width:2;stroke-dasharray:3 3}
.scale{height:1.5rem}
.span{height:1.55rem}
.span rect{fill:var(--state)}
.is-reused>td .span rect,.is-running>td .span rect,.is-killed>td .span rect{fill:var(--on);stroke:var(--state);
 stroke-width:1.5;stroke-dasharray:4 3}
.legend{list-style:none;padding:0;margin-bottom:.4rem;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;font-size:.9rem}
.legend li{display:flex;align-items:center;gap:.5em}
.key{width:24px;height:10px;flex:none}
.key rect{fill:var(--c);opacity:.72}
.key line{stroke:var(--c);stroke-width:2.5;stroke-dasharray:var(--dash)}
.key.outline rect{fill-opacity:.28;opacity:1;stroke:var(--c);stroke-width:3}
.key.diagonal line{stroke:var(--muted);stroke-dasharray:4 4}
"""

_WIDTHS = """
.route.narrow{display:block}
@media (min-width:38rem){.route.narrow{display:none}.route.middle{display:block}}
@media (min-width:68rem){
 .route.middle,.route.narrow{display:none}.route.wide{display:block}
 .columns{display:grid;grid-template-columns:10.5rem minmax(0,1fr);gap:2.4rem}
 .toc{display:block;position:sticky;top:1.2rem;align-self:start;margin-top:2rem;max-height:calc(100vh - 2.4rem);
  overflow:auto;font-size:.93rem}
 .toc ol{list-style:none;margin:0;padding:0;border-left:2px solid var(--line)}
 .toc a{display:flex;gap:.55em;align-items:center;padding:.24rem 0 .24rem .8rem;color:var(--muted);text-decoration:none}
 .toc a:hover{color:var(--ink)}
 .toc .glyph{color:var(--state)}
}
@media (max-width:34rem){
 .rows th{width:36%}.rows .value{width:27%}
 .timeline th{width:7.9rem}.timeline .value{width:5.4rem;padding-left:.6rem}
 .wide .rows,.wide .rows tbody,.wide .rows tfoot,.wide .rows tr,.wide .rows th,.wide .rows td{display:block;width:auto}
 .wide .rows tr{display:flow-root;padding:.35rem 0}
 .wide .rows th small{display:inline;margin-left:.6em}
 .wide .rows .value{padding:0;width:auto}
 .wide .rows caption{display:block}
 .wide .rows .drawn{margin:0 .9rem}
 .facts>div{grid-template-columns:1fr;gap:0}
 .card{padding:.85rem .9rem}
 .plot-box{padding-left:3rem;padding-right:.6rem}
}
@media print{
 :root{--ground:#fff}
 html{font-size:10pt}
 .wrap{padding:0;max-width:none}.columns{display:block}.toc,.skip{display:none}
 .card,.tiles>div,.alarm,tr{break-inside:avoid}
 .step-head,h2,h3{break-after:avoid}
 .scroll{overflow:visible}
 details::details-content{content-visibility:visible;height:auto}
 @supports selector(::details-content){.preview,summary{display:none}}
 *{print-color-adjust:exact}
}
@media (forced-colors:active){.box,.bar rect,.span rect,.bins rect{forced-color-adjust:none}}
"""

CSS = _SCHEMES + _STATES + _SERIES + _BASE + _TABLES + _CHARTS + _ROUTE + _WIDTHS
