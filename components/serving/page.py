"""The page at /docs: what can be asked, and a form to try it. One file; it asks nobody but the server itself."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from hashlib import sha256

from components.core.page.style import CSS
from components.core.shown import escape

_STYLE = """
.try{display:grid;gap:1rem;margin-top:1.4rem}
@media (min-width:68rem){.try{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}}
.try .card{margin:0;display:flex;flex-direction:column;gap:.7rem;min-width:0}
.try .card>h2{margin:0}
.bar-line{display:flex;flex-wrap:wrap;gap:.5rem .8rem;align-items:center}
.bar-line .grow{flex:1 1 12rem}
label{font-size:.87rem;color:var(--muted)}
label>input{display:block;width:100%;margin-top:.2rem}
input,select,textarea,button{font:inherit;color:inherit;background:var(--ground);border:1px solid var(--muted);
 border-radius:8px;padding:.42rem .65rem}
textarea{font:.92em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;min-height:22rem;resize:vertical;
 width:100%;tab-size:2;white-space:pre;overflow:auto}
textarea[aria-invalid=true]{border-color:var(--failed)}
button{cursor:pointer}
button.main{background:var(--amber);border-color:var(--amber);color:#1c1e22;font-weight:650;padding:.42rem 1.2rem}
button:disabled{opacity:.5;cursor:not-allowed}
.tabs{display:flex;gap:.3rem}
.tabs button{border-color:transparent;background:none;color:var(--muted)}
.tabs button[aria-selected=true]{background:var(--sunken);color:var(--ink);font-weight:600}
.said{min-height:1.6em;font-size:.92rem}
.said.is-failed{color:var(--failed)}
.said.is-done{color:var(--done)}
.answer{background:var(--sunken);border-radius:8px;padding:.8rem .95rem;margin:0;flex:1;min-height:8rem;
 max-height:36rem;overflow:auto;white-space:pre-wrap}
.k{color:var(--s0)}.t{color:var(--s2)}.v{color:var(--s1)}
.routes{list-style:none;padding:0;display:grid;gap:.3rem}
.routes code{font-weight:600}
#inputs small{display:block}
.verb{display:inline-block;min-width:3.2rem;font:600 .8rem ui-monospace,monospace;color:var(--muted)}
"""
_SCRIPT = r"""
'use strict'
const $ = id => document.getElementById(id)
const make = (name, text, kind) => {
  const made = document.createElement(name)
  if (text !== undefined) made.textContent = text
  if (kind) made.className = kind
  return made
}
const pretty = text => JSON.stringify(JSON.parse(text), null, 2)
let doc = null, chosen = null

function asked() {
  const posts = Object.entries(doc.paths).filter(([path, verbs]) => verbs.post && !path.includes('{'))
  return posts.map(([path, verbs]) => ({path, ...verbs.post}))
}
function say(id, text, kind) {
  $(id).textContent = text
  $(id).className = 'said' + (kind ? ' is-' + kind : '')
}

function place(text, error) {
  const at = /position (\d+)/.exec(error.message)
  if (!at) return error.message
  const before = text.slice(0, +at[1]).split('\n'), words = error.message.replace(/ in JSON at position.*/, '')
  return `Line ${before.length}, column ${before.at(-1).length + 1}: ${words}`
}
function typed(value, schema) {
  if (schema.oneOf) return schema.oneOf.some(one => typed(value, one))
  if (schema.enum) return schema.enum.includes(value)
  if (schema.type === 'null') return value === null
  if (schema.type === 'integer') return Number.isInteger(value)
  if (schema.type === 'string')
    return typeof value === 'string' && (!schema.pattern || new RegExp(schema.pattern).test(value))
  return schema.type !== 'number' || typeof value === 'number'
}
function fault(data) {
  if (chosen.operationId !== 'predict') return ''
  if (!data || !Array.isArray(data.instances) || !data.instances.length)
    return '"instances" must be an array of at least one row'
  const columns = doc.components.schemas.Row.properties
  for (const [at, row] of data.instances.entries()) {
    if (Array.isArray(row) || row === null || typeof row !== 'object') continue
    for (const [name, schema] of Object.entries(columns)) {
      if (!(name in row)) return `row ${at}: "${name}" must be given; null where it is missing`
      if (!typed(row[name], schema)) return `row ${at}: "${name}" must be a ${schema.description.split(';')[0]}`
    }
    for (const name of Object.keys(row)) if (!(name in columns)) return `row ${at}: "${name}" is no input of the model`
  }
  return ''
}
function check() {
  const text = $('body').value
  let found = ''
  try { found = fault(JSON.parse(text)) } catch (error) { found = place(text, error) }
  $('body').setAttribute('aria-invalid', String(!!found))
  say('checked', found || 'Valid JSON, and every input is there.', found ? 'failed' : 'done')
  curl()
  return !found
}
function curl() {
  const body = $('body').value.replace(/\s*\n\s*/g, ' ').replaceAll("'", "'\\''")
  const lines = ['-H "Authorization: Bearer $TOKEN"', "-H 'Content-Type: application/json'", `-d '${body}'`]
  $('curl').textContent = [`curl ${location.origin}${chosen.path}`, ...lines].join(' \\\n  ')
}
function colour(text, into) {
  into.textContent = ''
  const parts = /("(?:\\.|[^"\\])*")(\s*:)?|(-?\d[\d.eE+-]*|true|false|null)/g
  let last = 0
  for (const m of text.matchAll(parts)) {
    into.append(text.slice(last, m.index), make('span', m[1] || m[3], m[1] ? (m[2] ? 'k' : 't') : 'v'), m[2] || '')
    last = m.index + m[0].length
  }
  into.append(text.slice(last))
}
async function send() {
  $('send').disabled = true
  const headers = {'Content-Type': 'application/json'}
  if ($('token').value) headers.Authorization = 'Bearer ' + $('token').value
  const start = performance.now()
  try {
    const answer = await fetch(chosen.path, {method: 'POST', headers, body: $('body').value})
    const text = await answer.text(), version = answer.headers.get('x-model-version')
    const facts = [`${answer.status} ${answer.statusText}`, `${(performance.now() - start).toFixed(1)} ms`]
    if (version) facts.push(`version ${version}`)
    if (answer.headers.get('x-request-id')) facts.push(answer.headers.get('x-request-id'))
    say('status', facts.join(' · '), answer.ok ? 'done' : 'failed')
    let shown = text
    try { shown = pretty(text) } catch {}
    colour(shown, $('answer'))
    if (answer.status === 401) $('token').focus()
  } catch (error) { say('status', String(error), 'failed') }
  $('send').disabled = false
}
function choose(one) {
  chosen = one
  for (const tab of $('tabs').children) tab.setAttribute('aria-selected', String(tab.dataset.path === one.path))
  $('path').textContent = one.path
  $('body').value = JSON.stringify(one.requestBody.content['application/json'].example, null, 2)
  check()
}
function inputs() {
  const row = doc.components.schemas.Row
  for (const [name, schema] of Object.entries(row.properties)) {
    const [kind, ...words] = schema.description.split('; ')
    const line = $('inputs').insertRow()
    const missing = words.includes('null is missing'), head = make('th', name)
    head.append(make('small', words.filter(word => word !== 'null is missing').join('; ')))
    const cells = [kind, missing ? 'yes' : 'no', JSON.stringify(row.examples[0][name])]
    line.append(head, ...cells.map(text => make('td', text)))
  }
  for (const [path, verbs] of Object.entries(doc.paths)) for (const [verb, one] of Object.entries(verbs)) {
    const item = make('li'), text = make('span', ' ' + one.summary + (one.security ? ' · token' : ''))
    item.append(make('span', verb.toUpperCase(), 'verb'), make('code', path), text)
    $('routes').append(item)
  }
}
async function state() {
  const ready = await (await fetch('v2/health/ready')).json()
  $('state').className = 'badge is-' + (ready.ready ? 'done' : 'not-started')
  $('state').textContent = ready.ready ? `ready · version ${doc.info.version}` : ready.why
}
async function begin() {
  doc = await (await fetch('openapi.json')).json()
  for (const one of asked()) {
    const tab = make('button', one.tags[0])
    tab.type = 'button'
    tab.dataset.path = one.path
    tab.setAttribute('role', 'tab')
    tab.onclick = () => choose(one)
    $('tabs').append(tab)
  }
  inputs()
  choose(asked()[0])
  await state()
  $('body').oninput = check
  $('body').onkeydown = e => { if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) send() }
  $('send').onclick = send
  $('tidy').onclick = () => { if (check()) $('body').value = pretty($('body').value) }
  $('who').onsubmit = e => { e.preventDefault(); send() }
  $('copy').onclick = () => navigator.clipboard && navigator.clipboard.writeText($('curl').textContent)
  document.body.dataset.begun = 'true'
}
begin().catch(error => say('checked', String(error), 'failed'))
"""
_BODY = """<div class="stripe"></div><a class="skip" href="#try">To the form</a><main class="wrap">
<div class="head"><h1>{case} <small>predictions</small></h1><span id="state" class="badge is-not-started">…</span></div>
<p class="job">Vertex AI's and the Open Inference Protocol's HTTP interfaces; the description for machines is
<a href="openapi.json">openapi.json</a>.</p>
<div class="try" id="try"><section class="card"><h2>Ask</h2>
<div class="bar-line"><div class="tabs" id="tabs" role="tablist"></div><code id="path"></code></div>
<form id="who"><label>Token<input id="token" type="password" autocomplete="off"
 placeholder="the token that `esteira serve` showed"></label></form>
<textarea id="body" spellcheck="false" aria-label="The request's JSON" aria-describedby="checked"></textarea>
<div id="checked" class="said" role="status"></div>
<div class="bar-line"><button id="send" class="main" type="button">Send</button>
<button id="tidy" type="button">Tidy</button><small>Ctrl+Enter sends</small></div></section>
<section class="card"><h2>Answer</h2><div id="status" class="said" role="status">Nothing sent yet.</div>
<pre class="answer" id="answer" tabindex="0" aria-label="The answer's JSON"></pre></section></div>
<section class="part"><h2>Inputs</h2><div class="card">
<div class="scroll" role="region" aria-label="Inputs" tabindex="0">
<table class="data"><thead><tr><th>Name</th><th>Type</th><th>May be null</th><th>Example</th></tr></thead>
<tbody id="inputs"></tbody></table></div></div></section>
<section class="part"><h2>From a shell</h2><div class="card"><pre id="curl"></pre>
<p class="note"><button id="copy" type="button">Copy</button></p></div></section>
<section class="part"><h2>Routes</h2><div class="card"><ul class="routes" id="routes"></ul></div></section></main>
"""


def _hash(text: str) -> str:
    return "'sha256-" + b64encode(sha256(text.encode()).digest()).decode() + "'"


_CSS = CSS + _STYLE
POLICY = (
    f"content-security-policy: default-src 'none'; connect-src 'self'; style-src {_hash(_CSS)}; "
    f"script-src {_hash(_SCRIPT)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
).encode()


@lru_cache(maxsize=4)
def html(case: str) -> bytes:
    """The page of a case; what it shows it reads from /openapi.json."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(case)}: predictions</title><style>{_CSS}</style>"
    )
    body = f"{_BODY.replace('{case}', escape(case))}<script>{_SCRIPT}</script>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>'.encode()
