// Follows GET /events and redraws what moved. Names and texts of others only ever become text nodes.
'use strict';
(function () {
  const SVG = 'http://www.w3.org/2000/svg', LOST_MS = 2000, EVENTS_SHOWN = 60, COMMITS_SHOWN = 300;
  const byId = id => document.getElementById(id);
  const self = document.body.dataset.node;
  let last = null, events = [], commits = [], heads = [], heardAt = 0, headSeen = null, blockMs = 0;

  function make(tag, attributes, ...children) {
    const e = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
    e.append(...children);
    return e;
  }
  function draw(parent, tag, attributes) {
    const e = document.createElementNS(SVG, tag);
    for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
    parent.append(e);
    return e;
  }
  const say = (e, text) => { if (e.textContent !== text) e.textContent = text; };
  const set = (e, values) => { for (const [k, v] of Object.entries(values)) e.setAttribute(k, v); };
  const short = (text, most) => text.length > most ? text.slice(0, most - 1) + '…' : text;
  const count = n => n.toLocaleString('en-US');
  const two = n => String(n).padStart(2, '0');
  function clock(ms) {
    const d = new Date(ms), time = two(d.getHours()) + ':' + two(d.getMinutes()) + ':' + two(d.getSeconds());
    const day = d.toDateString() === new Date().toDateString() ? '' : d.getFullYear() + '-' + two(d.getMonth() + 1) + '-' + two(d.getDate()) + ' ';
    return day + time;
  }
  function duration(us) {
    if (us < 1000) return us + ' µs';
    if (us < 1e6) return (us / 1e3).toFixed(us < 1e5 ? 1 : 0) + ' ms';
    if (us < 12e7) return (us / 1e6).toFixed(us < 1e7 ? 2 : 1) + ' s';
    return us < 72e8 ? Math.round(us / 6e7) + ' min' : (us / 36e8).toFixed(1) + ' h';
  }
  const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];

  // ---- what the members are ----

  const WORDS = { node_down: 'op-node down', conductor_disabled: 'op-node without conductor', el_syncing: 'syncing', held_down: 'held back' };
  // Reports of heads are up to a health check old: lag is against the best of them, and what is built in that time is none.
  function bestHead(status) {
    const reported = status.servers.map(m => m.record && m.record.unsafe_head ? m.record.unsafe_head.number : 0);
    return Math.max(status.unsafe_head ? status.unsafe_head.number - 2 : 0, ...reported);
  }
  function describe(member, status, best) {
    const record = member.record, heard = member.contact_age_ms !== null && member.contact_age_ms <= LOST_MS;
    const leads = status.leader.id !== '' && member.id === status.leader.id;
    const head = record && record.unsafe_head ? record.unsafe_head.number : null;
    const noise = Math.max(2, blockMs > 0 ? Math.ceil(1500 / blockMs) : 0);
    const behind = head === null ? null : best - head > noise ? best - head : 0;
    const reason = !heard ? 'not heard' : record ? WORDS[record.ready_reason] || record.ready_reason : 'unknown';
    const ready = heard && record !== null && (record.ready_reason === 'ready' || record.ready_reason === 'witness');
    const level = !heard ? 'bad' : ready ? 'good' : 'warn';
    const runs = heard && record !== null && record.sequencing;
    const part = leads ? runs ? 'leader, sequences' : 'leader' : member.suffrage === 0 ? 'voter' : 'standby';
    const lag = behind === null ? '' : behind === 0 ? 'none' : count(behind) + ' behind';
    return { member, heard, leads, head, behind, reason, level, runs, part, lag };
  }

  // ---- the cluster as a picture ----

  const picture = { box: byId('picture').querySelector('.plot'), key: '', nodes: new Map() };
  function layOut(all, width) {
    const small = width < 430, r = small ? 27 : 34, above = r * 1.5 + 2, below = r + 56;
    const n = all.length, height = n < 3 ? above + below + 40 : small ? 290 : n < 6 ? 330 : 400;
    const svg = draw(picture.box, 'svg', { viewBox: '0 0 ' + width + ' ' + height, height: height, role: 'img' });
    picture.title = draw(svg, 'title');
    const lines = draw(svg, 'g'), cx = width / 2, rx = Math.min(width / 2 - (small ? 58 : 84), 240);
    const angles = all.map((_, i) => (n === 2 ? Math.PI : -Math.PI / 2) + 2 * Math.PI * i / n);
    const sines = angles.map(Math.sin), highest = Math.min(...sines), range = Math.max(...sines) - highest;
    all.forEach((d, i) => {
      const x = n === 1 ? cx : cx + rx * Math.cos(angles[i]);
      const y = n < 3 ? above + 10 : above + (height - above - below) * (sines[i] - highest) / range;
      // The topmost node has its links below it, so its words stand beside it.
      const beside = n >= 3 && i === 0, dy = beside ? -24 : r + 2;
      const link = draw(lines, 'line', { class: 'link' }), flow = draw(lines, 'line', { class: 'flow' });
      const g = draw(svg, 'g', { class: 'node', transform: 'translate(' + x.toFixed(1) + ' ' + y.toFixed(1) + ')' });
      const text = (kind, y0) => draw(g, 'text', { class: kind, y: y0, x: beside && kind !== 'lag' ? r + 16 : 0, 'text-anchor': beside && kind !== 'lag' ? 'start' : 'middle' });
      const tip = draw(g, 'title');
      draw(g, 'circle', { class: 'halo', r: r });
      draw(g, 'circle', { class: 'disc', r: r });
      picture.nodes.set(d.member.id, { x, y, g, tip, link, flow, r, lag: text('lag', 5), name: text('name', dy + 17), state: text('state', dy + 33), head: text('soft', dy + 49) });
    });
    const placed = [...picture.nodes.values()];
    placed.forEach((a, i) => placed.slice(i + 1).forEach(b => lines.prepend(draw(svg, 'line', { class: 'mesh', x1: a.x, y1: a.y, x2: b.x, y2: b.y }))));
    svg.append(...placed.map(node => node.g));
  }
  function showPicture(all, status) {
    const width = Math.max(280, picture.box.clientWidth), key = width + ' ' + all.map(d => d.member.id).join('\n');
    if (key !== picture.key) {
      picture.box.replaceChildren();
      picture.nodes.clear();
      picture.key = key;
      layOut(all, width);
    }
    const leader = all.find(d => d.leads), from = leader && picture.nodes.get(leader.member.id);
    for (const d of all) {
      const node = picture.nodes.get(d.member.id);
      set(node.g, { class: ['node', d.level, d.leads ? 'leader' : '', d.leads ? d.runs ? 'busy' : 'idle' : '', d.member.suffrage === 0 ? '' : 'standby'].join(' ') });
      say(node.lag, d.behind === null ? '?' : d.behind === 0 ? '✓' : '−' + short(count(d.behind), 6));
      say(node.name, short(d.member.id, 18) + (d.member.id === self ? ' •' : ''));
      say(node.state, d.leads ? d.runs ? 'leads, sequences' : 'leads, ' + d.reason : d.member.suffrage === 0 ? d.reason : d.reason + ', standby');
      say(node.head, d.head === null ? 'no head known' : count(d.head));
      say(node.tip, d.member.id + ', ' + d.part + ', ' + d.reason + ', ' + d.member.addr);
      const drawn = from && !d.leads;
      set(node.link, { class: 'link ' + (!drawn ? '' : d.heard && leader.heard ? 'on' : 'lost'), visibility: drawn ? 'visible' : 'hidden' });
      set(node.flow, { class: 'flow ' + (drawn && leader.runs && d.heard ? 'on' : '') });
      if (drawn) for (const line of [node.link, node.flow]) set(line, { x1: from.x, y1: from.y, x2: node.x, y2: node.y });
    }
    say(picture.title, byId('verdict').textContent);
    const voters = all.filter(d => d.member.suffrage === 0), heard = voters.filter(d => d.heard).length;
    say(byId('picture-note'), heard + ' of ' + voters.length + ' voters heard · in a circle: blocks behind' + (status.transferring ? ' · handing over' : ''));
  }

  // ---- commit latency ----

  const latency = { box: byId('latency').querySelector('.plot'), points: [] };
  const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
  function showLatency() {
    const width = Math.max(280, latency.box.clientWidth), height = width < 430 ? 210 : 320;
    const left = 54, right = width - 8, top = 12, bottom = height - 24;
    const svg = document.createElementNS(SVG, 'svg');
    set(svg, { viewBox: '0 0 ' + width + ' ' + height, height: height, role: 'img', 'aria-label': 'Latency of the newest commits' });
    latency.points = [];
    const took = commits.map(c => c[3] / 1000), most = Math.max(10, ...took), least = Math.min(2, ...took);
    const low = Math.max(0.1, STEPS.filter(s => s <= least).pop() || least * 0.9), high = STEPS.find(s => s >= most) || most;
    const y = ms => bottom - (bottom - top) * (Math.log(Math.max(low, ms)) - Math.log(low)) / (Math.log(high) - Math.log(low));
    for (const step of commits.length === 0 ? [] : STEPS.filter(s => s >= low && s <= high)) {
      draw(svg, 'line', { class: 'grid', x1: left, x2: right, y1: y(step), y2: y(step) });
      draw(svg, 'text', { class: 'soft', x: left - 8, y: y(step) + 4, 'text-anchor': 'end' }).textContent = step < 1000 ? step + ' ms' : step / 1000 + ' s';
    }
    if (commits.length > 0) {
      const t0 = commits[0][2], t1 = Math.max(last.time_ms, commits[commits.length - 1][2], t0 + 1000);
      const x = t => left + 4 + (right - left - 8) * (t - t0) / (t1 - t0);
      let path = '';
      commits.forEach((c, i) => {
        const point = { x: x(c[2]), y: y(c[3] / 1000), commit: c };
        point.dot = draw(svg, 'circle', { class: c[4] ? 'dot' : 'dot failed', cx: point.x.toFixed(1), cy: point.y.toFixed(1), r: c[4] ? 2.4 : 4 });
        latency.points.push(point);
        const near = commits.slice(Math.max(0, i - 7), i + 8).map(o => o[3]).sort((a, b) => a - b);
        const gap = i > 0 && c[2] - commits[i - 1][2] > Math.max(5000, (t1 - t0) / 20);
        path += (i === 0 || gap ? 'M' : 'L') + point.x.toFixed(1) + ' ' + y(quantile(near, 0.5) / 1000).toFixed(1);
      });
      draw(svg, 'path', { class: 'median', d: path });
      draw(svg, 'text', { class: 'soft', x: left, y: height - 4 }).textContent = clock(t0);
      draw(svg, 'text', { class: 'soft', x: right, y: height - 4, 'text-anchor': 'end' }).textContent = clock(t1);
    } else {
      draw(svg, 'text', { class: 'soft', x: (left + right) / 2, y: height / 2, 'text-anchor': 'middle' }).textContent = 'no commit went through this node yet';
    }
    latency.box.replaceChildren(svg);
    noteLatency(null);
  }
  function noteLatency(commit) {
    const leader = last && last.status.leader.id;
    if (commit) say(byId('latency-note'), 'block ' + count(commit[1]) + (commit[4] ? ' · ' : ' failed after ') + duration(commit[3]) + ' · ' + clock(commit[2]));
    else if (leader && leader !== self) say(byId('latency-note'), 'commits go through ' + short(leader, 24) + ' now: see its page');
    else say(byId('latency-note'), commits.length ? 'newest ' + commits.length + ', line: median of 15' : '');
  }
  latency.box.addEventListener('pointermove', e => {
    const rect = latency.box.getBoundingClientRect(), at = e.clientX - rect.left, high = e.clientY - rect.top;
    let best = null, least = 900;
    for (const p of latency.points) {
      const distance = (p.x - at) ** 2 + ((p.y - high) / 2) ** 2;
      p.dot.classList.remove('near');
      if (distance < least) { least = distance; best = p; }
    }
    if (best) best.dot.classList.add('near');
    noteLatency(best && best.commit);
  });

  // ---- figures, tables, events ----

  function tile(value, unit, label) {
    return make('div', { class: 'tile' }, make('b', {}, value, make('small', {}, unit)), make('span', {}, label));
  }
  function showTiles(status) {
    const head = status.unsafe_head ? status.unsafe_head.number : null;
    if (headSeen !== null && head !== null && headSeen !== head) heads.push([last.time_ms, head]);
    headSeen = head;
    heads = heads.filter(h => h[0] > last.time_ms - 30000 || h === heads[heads.length - 1]);
    const first = heads[0], newest = heads[heads.length - 1];
    const every = heads.length > 1 && newest[1] > first[1] ? (newest[0] - first[0]) / (newest[1] - first[1]) : 0;
    blockMs = every;
    const fine = commits.filter(c => c[4]).map(c => c[3]).sort((a, b) => a - b);
    const ms = us => (us / 1e3).toFixed(us < 1e5 ? 1 : 0);
    byId('tiles').replaceChildren(
      tile(head === null ? 'none' : count(head), '', 'head of consensus'),
      tile(every ? every < 995 ? String(Math.round(every)) : (every / 1000).toFixed(1) : '…', every ? every < 995 ? ' ms' : ' s' : '', 'between blocks'),
      tile(fine.length ? ms(quantile(fine, 0.5)) : '–', fine.length ? ' ms' : '', 'commit, p50'),
      tile(fine.length ? ms(quantile(fine, 0.99)) : '–', fine.length ? ' ms' : '', 'commit, p99'),
      tile(count(status.term), '', 'term'),
      tile(status.last_handover_us ? String(Math.round(status.last_handover_us / 1000)) : '–', status.last_handover_us ? ' ms' : '', 'last hand-over here'));
  }
  function row(name, cells) {
    const tr = make('tr', {}, make('th', { scope: 'row' }, name));
    for (const c of cells) tr.append(Array.isArray(c) ? make('td', { class: c[1] }, c[0]) : make('td', {}, c));
    return tr;
  }
  const fill = (id, rows) => byId(id).querySelector('tbody').replaceChildren(...rows);
  function showTables(all, status) {
    fill('members', all.map(d => row(d.member.id + (d.member.id === self ? ' (this node)' : ''), [d.part, [d.reason, 's-' + d.level],
      d.head === null ? 'unknown' : count(d.head), [d.lag, d.behind ? 's-warn' : 's-soft'],
      d.member.contact_age_ms === null ? 'never' : (d.member.contact_age_ms / 1000).toFixed(1) + ' s ago', [d.member.addr, 's-soft']])));
    const known = v => v === null ? 'unknown' : v ? 'yes' : 'no';
    const facts = [['conducts', known(status.active)], ['healthy', known(status.healthy)]];
    if (status.health_text) facts.push(['last health check', status.health_text]);
    facts.push(['op-node sequences', known(status.sequencer_active)], ['op-node\'s unsafe head', status.node_head ? count(status.node_head.number) : 'unknown'],
      ['commits here', count(status.commits) + (status.commits_failed ? ', ' + count(status.commits_failed) + ' failed' : '')],
      ['window', count(status.window.payloads) + ' payloads, ' + (status.window.bytes / 1e6).toFixed(1) + ' MB'],
      ['membership', 'version ' + count(status.membership_version)]);
    fill('facts', facts.map(f => row(f[0], [f[1]])));
    fill('processes', status.children.map(c => row(c.name, [[c.state, c.state === 'running' ? 's-good' : 's-warn'], c.pid ? String(c.pid) : '', String(c.restarts)])));
  }

  function levelOf(e) {
    if (e.kind === 'leadership') return e.code === 1 ? 'lead' : e.subject === '' ? 'warn' : '';
    if (e.kind === 'process_down') return 'bad';
    if (e.kind === 'health' || e.kind === 'ready') return e.code === 0 ? 'good' : 'warn';
    if (e.kind === 'sequencer_start' || e.kind === 'sequencer_adopt') return e.code === 0 ? 'good' : 'bad';
    if (e.kind === 'transfer' || e.kind === 'taken_over' || e.kind === 'operator') return e.code === 0 ? '' : 'bad';
    if (e.kind === 'contact') return e.code === 1 ? 'good' : 'warn';
    return e.kind === 'unsafe_head' ? 'warn' : e.kind === 'started' ? 'good' : '';
  }
  function eventItem(e) {
    const item = make('li', { class: levelOf(e) }, make('time', { datetime: new Date(e.time_ms).toISOString() }, clock(e.time_ms)), make('span', {}, e.what));
    const extra = [e.duration_us ? duration(e.duration_us) : '', e.repeats > 8 ? e.repeats + ' in a row' : ''].filter(Boolean).join(', ');
    if (extra) item.append(make('em', {}, extra));
    if (e.kind === 'process_down' && e.detail) item.append(make('pre', {}, e.detail));
    return item;
  }
  function showEvents() {
    byId('events').querySelector('ol').replaceChildren(...events.slice().reverse().map(eventItem));
  }

  // ---- the stream ----

  function show() {
    const status = last.status, best = bestHead(status), all = status.servers.map(m => describe(m, status, best));
    say(byId('verdict'), last.verdict);
    byId('verdict').dataset.level = last.level;
    document.title = (last.level === 'good' ? '' : last.level === 'warn' ? '⚠ ' : '✖ ') + self + ' · op-conductor';
    showTiles(status);
    showPicture(all, status);
    showTables(all, status);
  }
  function live(on, text) {
    byId('live').className = on ? 'on' : '';
    say(byId('live'), text);
  }
  const source = new EventSource('events');
  source.addEventListener('reset', () => { events = []; commits = []; heads = []; headSeen = null; blockMs = 0; });
  source.addEventListener('status', e => {
    last = JSON.parse(e.data);
    heardAt = Date.now();
    for (const id of ['live', 'tiles', 'picture', 'latency']) byId(id).hidden = false;
    live(true, last.viewers > 1 ? 'live · ' + last.viewers + ' viewers' : 'live');
    show();
  });
  source.addEventListener('commits', e => {
    const newest = commits.length ? commits[commits.length - 1][0] : 0;
    commits = commits.concat(JSON.parse(e.data).filter(c => c[0] > newest)).slice(-COMMITS_SHOWN);
    showLatency();
  });
  source.addEventListener('events', e => {
    const newest = events.length ? events[events.length - 1].sequence : 0;
    const news = JSON.parse(e.data).events.filter(n => n.sequence > newest);
    if (news.length === 0) return;
    events = events.concat(news).slice(-EVENTS_SHOWN);
    showEvents();
  });
  source.addEventListener('error', () => {
    byId('live').hidden = false;
    live(false, 'reconnecting');
    if (source.readyState === EventSource.CLOSED) live(false, 'not live: load the page again');
  });
  setInterval(() => { if (heardAt && source.readyState === EventSource.OPEN && Date.now() - heardAt > 3500) live(false, 'silent'); }, 1000);
  // A plot without news still moves, and fits a turned phone.
  setInterval(() => { if (last && !latency.box.matches(':hover')) showLatency(); }, 2000);
  addEventListener('resize', () => { if (last) { show(); showLatency(); } });
})();
