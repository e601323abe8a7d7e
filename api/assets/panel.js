// The panel's one script. Every page works without it: it looks again at what is live, and adds keys, the palette, copying
// and relative times. It builds nodes and sets attributes; the only HTML it reads goes through DOMParser, by one policy.
(() => {
  'use strict';

  const body = document.body;
  const language = document.documentElement.lang || 'pt-BR';
  const texts = (name) => body.dataset['text' + name] || '';
  const first = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const policy = window.trustedTypes?.createPolicy('painel', { createHTML: (html) => html });

  // Some events have a document or a text as their target.
  const near = (event, selector) => event.target.closest?.(selector) || null;

  function make(tag, attributes = {}, ...inside) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...inside);
    return node;
  }

  function announce(text) {
    const announcer = first('#announcer');
    if (announcer) announcer.textContent = text;
  }

  // Redirects are not followed: one means that the session is over, and its page is of no use here.
  const ask = (href, options) =>
    fetch(href, { cache: 'no-store', credentials: 'same-origin', redirect: 'manual', ...options });
  const isSignedOut = (answer) => answer.status === 401 || answer.type === 'opaqueredirect';

  // The page beneath is inert while one is open; the browser closes it on Escape and gives the focus back.
  function openDialog(attributes, ...inside) {
    const dialog = make('dialog', attributes, ...inside);
    dialog.addEventListener('close', () => dialog.remove());
    body.append(dialog);
    dialog.showModal();
    return dialog;
  }

  const isDialogOpen = () => Boolean(first('dialog[open]'));

  // It is there from the start, empty: a live region that arrives with its text is often not read.
  const toast = make('p', { class: 'toast', role: 'status' });
  body.append(toast);
  let toastTimer;

  function showToast(text) {
    clearTimeout(toastTimer);
    toast.textContent = text;
    toastTimer = setTimeout(() => { toast.textContent = ''; }, 4000);
  }

  const units = [['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]];
  const relative = new Intl.RelativeTimeFormat(language, { numeric: 'auto' });

  function relativeText(time) {
    const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
    if (Number.isNaN(seconds)) return '';
    const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= length) || ['second', 1];
    return ' ' + relative.format(Math.trunc(seconds / length), unit);
  }

  // `isInside` tells that the root stands in such a container, though its copy in an answer does not.
  function addRelative(root, isInside) {
    for (const time of all('time[datetime]', root)) {
      if (!isInside && !time.closest('[data-relative]')) continue;
      const text = relativeText(time);
      let small = time.nextElementSibling;
      if (!small?.matches('small.relative')) time.after(small = make('small', { class: 'relative' }));
      if (small.textContent !== text) small.textContent = text;
    }
  }

  // What the script adds to a page it adds to an answer, too, before it compares them.
  function prepare(root, isInside) {
    addRelative(root, isInside);
    for (const button of all('[data-copy]', root)) button.hidden = !navigator.clipboard;
  }

  const identity = ['id', 'data-key', 'role'];

  function isAlike(old, fresh) {
    if (old.nodeName !== fresh.nodeName) return false;
    return old.nodeType !== 1 || identity.every((name) => old.getAttribute(name) === fresh.getAttribute(name));
  }

  function syncAttributes(old, fresh) {
    // Whether details are open is the reader's own.
    const names = [...old.attributes, ...fresh.attributes].map(({ name }) => name).filter((name) => name !== 'open');
    for (const name of names) {
      const value = fresh.getAttribute(name);
      if (value === null) old.removeAttribute(name);
      else if (value !== old.getAttribute(name)) old.setAttribute(name, value);
    }
  }

  function sync(old, fresh, holdsRows) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== 1) {
      old.data = fresh.data;
      return;
    }
    // What was typed stays.
    if (old.matches('input, select, textarea')) return;
    syncAttributes(old, fresh);
    if (holdsRows && old.matches('tbody') && first('tr[data-key]', old)) syncRows(old, fresh);
    else syncChildren(old, fresh, holdsRows);
  }

  function syncRows(old, fresh) {
    const news = new Map(all('tr[data-key]', fresh).map((row) => [row.dataset.key, row]));
    for (const row of all('tr[data-key]', old)) {
      const next = news.get(row.dataset.key);
      if (next) sync(row, next, true);
      else row.classList.add('gone');
    }
  }

  // What is equal at both ends is left alone, so that one thing more does not touch its neighbours.
  function syncChildren(old, fresh, holdsRows) {
    const olds = [...old.childNodes];
    const news = [...fresh.childNodes];
    while (olds.length && news.length && olds[0].isEqualNode(news[0])) {
      olds.shift();
      news.shift();
    }
    let end = null;
    while (olds.length && news.length && olds.at(-1).isEqualNode(news.at(-1))) {
      end = olds.pop();
      news.pop();
    }
    for (const next of news) {
      // A text stands for the one at its place; an element is looked for further on.
      const found = olds.findIndex((one, at) => isAlike(one, next) && (at === 0 || next.nodeType === 1));
      if (found < 0) {
        old.insertBefore(document.importNode(next, true), olds[0] || end);
        continue;
      }
      for (const skipped of olds.splice(0, found)) skipped.remove();
      sync(olds.shift(), next, holdsRows);
    }
    for (const rest of olds) rest.remove();
  }

  const live = first('[data-live-href][data-live-millis]');
  const isLive = Boolean(live) && body.dataset.live !== 'false';
  const LONGEST_WAIT = 60000;
  let liveTimer, etag, isPaused, isStopped, isLooking;
  let failures = 0;
  let refusedUntil = 0;
  let updatedAt = new Date();
  const staleLine = make('p', { class: 'banner stale' });

  // What it says of a live part stands above it, in a place that the page keeps free, so that nothing moves.
  let liveBar = first('.live-bar');
  function bar() {
    if (!liveBar) (live || first('main > *') || body.lastChild).before(liveBar = make('div', { class: 'live-bar' }));
    return liveBar;
  }

  function showStale(inside) {
    staleLine.replaceChildren(inside);
    if (!staleLine.isConnected) bar().prepend(staleLine);
  }

  function clock(date) {
    const format = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
    try {
      return date.toLocaleTimeString(language, { ...format, timeZone: body.dataset.zone });
    } catch {
      return date.toLocaleTimeString(language, format);
    }
  }

  // The link leads back to this page, by the login.
  function showSignedOut() {
    isStopped = true;
    clearTimeout(liveTimer);
    showStale(make('a', { href: location.href }, texts('Session')));
    announce(texts('Session'));
  }

  function schedule(wait) {
    clearTimeout(liveTimer);
    if (!isLive || isPaused || isStopped || isLooking || document.hidden) return;
    liveTimer = setTimeout(look, Math.max(wait, refusedUntil - Date.now()));
  }

  const liveMillis = () => Math.max(500, Number(live.dataset.liveMillis) || 10000);

  async function look() {
    isLooking = true;
    let isGood = false;
    try {
      const headers = etag ? { 'If-None-Match': etag } : {};
      const answer = await ask(live.dataset.liveHref, { headers, signal: AbortSignal.timeout?.(20000) });
      if (isSignedOut(answer)) showSignedOut();
      else isGood = await take(answer);
    } catch { /* The network is away: it is said below. */ }
    isLooking = false;
    if (isStopped) return;
    noteLook(isGood);
    schedule(Math.min(LONGEST_WAIT, liveMillis() * 2 ** Math.min(failures, 10)));
  }

  function noteLook(isGood) {
    if (isGood) {
      failures = 0;
      updatedAt = new Date();
      staleLine.remove();
    } else {
      failures += 1;
      showStale(`${texts('Stale')} ${clock(updatedAt)}`);
    }
  }

  // Tells whether the answer was of use.
  async function take(answer) {
    if (answer.status === 304) return true;
    if (answer.status !== 200) {
      const seconds = Number(answer.headers.get('Retry-After')) || 0;
      refusedUntil = Date.now() + seconds * 1000;
      return false;
    }
    const html = await answer.text();
    const page = new DOMParser().parseFromString(policy ? policy.createHTML(html) : html, 'text/html');
    const fresh = page.getElementById(live.id);
    // A failure does not replace what is shown: that is only old, which is said.
    if (!fresh || (first('[role=alert]', fresh) && !first('[role=alert]', live))) return false;
    etag = answer.headers.get('ETag');
    update(fresh);
    return true;
  }

  const isRelative = () => Boolean(live.closest('[data-relative]'));
  const rowKeys = (root) => all('tr[data-key]', root).map((row) => row.dataset.key);

  function update(fresh) {
    prepare(fresh, isRelative());
    const said = fresh.dataset.announce;
    if (said && said !== live.dataset.announce) announce(said);
    const [shown, found] = [rowKeys(live), rowKeys(fresh)];
    const added = found.filter((key) => !shown.includes(key)).length;
    const gone = shown.filter((key) => !found.includes(key)).length;
    if (shown.length && !found.length) {
      // The table itself is gone: its rows stay until the reader asks.
      syncAttributes(live, fresh);
      for (const row of all('tr[data-key]', live)) row.classList.add('gone');
    } else sync(live, fresh, true);
    offer(shown.length ? added : 0, gone, fresh);
  }

  const newsButton = make('button', { type: 'button', class: 'button news' });

  function offer(added, gone, fresh) {
    const text = texts(added ? 'New' : 'Gone').replace('{n}', added || gone);
    newsButton.onclick = () => showAll(fresh);
    newsButton.textContent = text;
    if (!text || !(added || gone)) newsButton.remove();
    else if (!newsButton.isConnected) bar().append(newsButton);
  }

  function showAll(fresh) {
    addRelative(fresh, isRelative());
    sync(live, fresh, false);
    offer(0, 0);
    // The button is gone: its focus goes to what it showed.
    first('[tabindex]', live)?.focus({ preventScroll: true });
  }

  function togglePause() {
    if (!isLive || isStopped) return;
    isPaused = !isPaused;
    for (const button of all('[data-pause]')) button.setAttribute('aria-pressed', isPaused);
    schedule(0);
  }

  function startLive() {
    if (!isLive) return;
    for (const button of all('[data-pause]')) {
      button.hidden = false;
      button.setAttribute('aria-pressed', false);
    }
    schedule(liveMillis());
  }

  let goingUntil = 0;

  const isTyping = ({ target }) => target.isContentEditable || Boolean(target.closest?.('input, select, textarea'));
  const isModified = (event) => event.ctrlKey || event.altKey || event.metaKey;

  const keys = {
    '/': () => {
      const field = first('[data-search]');
      field?.focus();
      field?.select?.();
    },
    '?': showKeys,
    g: () => { goingUntil = Date.now() + 1500; },
    n: () => first('[data-new]')?.click(),
    p: togglePause,
  };

  function onKey(event) {
    if (event.defaultPrevented || event.isComposing) return;
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === 'k') {
      openPalette(event);
    } else if (body.dataset.shortcuts !== 'false' && !isTyping(event) && !isModified(event) && !isDialogOpen()) {
      followKey(event);
    }
  }

  function followKey(event) {
    const isGoing = Date.now() < goingUntil;
    goingUntil = 0;
    const follow = isGoing ? goTo(event.key.toLowerCase()) : Object.hasOwn(keys, event.key) && keys[event.key];
    if (!follow || event.repeat) return;
    event.preventDefault();
    follow();
  }

  function goTo(key) {
    const link = all('a[data-go]').find((one) => one.dataset.go === key);
    return link && (() => link.click());
  }

  const wordsOf = (node) => node?.textContent.trim() || '';

  function keyRow([names, text]) {
    const marks = names.map((name) => make('kbd', {}, name));
    return make('div', {}, make('dt', {}, ...marks), make('dd', {}, text));
  }

  // Only keys that do something here.
  function showKeys() {
    const named = [
      [['/'], wordsOf(first('[data-search]')?.labels?.[0])],
      [['n'], wordsOf(first('[data-new]'))],
      [['p'], isLive ? wordsOf(first('[data-pause]')) : ''],
      ...all('a[data-go]').map((link) => [['g', link.dataset.go], wordsOf(link)]),
      [['Ctrl', 'K'], texts('Palette')],
      [['?'], texts('Keys')],
    ];
    const rows = named.filter(([, text]) => text).map(keyRow);
    const close = make('button', { type: 'button' }, texts('Close') || 'Esc');
    const title = make('h2', { id: 'keys-title' }, texts('Keys'));
    const attributes = { class: 'keys', 'aria-labelledby': 'keys-title' };
    const dialog = openDialog(attributes, title, make('dl', {}, ...rows), close);
    close.addEventListener('click', () => dialog.close());
  }

  const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
  const COMMANDS = '/app/company/operations';
  const fold = (text) => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();

  // Two accounts may both have an "overview": the group's name tells them apart.
  function menuEntries() {
    return all('.menu a[href], .account-menu a[href]').map((link) => {
      const group = wordsOf(link.closest('ul')?.previousElementSibling);
      return { label: wordsOf(link), group, href: link.getAttribute('href') };
    });
  }

  // It navigates within the panel, and nowhere else.
  function isOwn(href) {
    const url = new URL(href, location.href);
    return url.origin === location.origin && url.pathname.startsWith('/app/');
  }

  function openPalette(event) {
    const pages = menuEntries();
    if (!pages.length) return;
    event.preventDefault();
    if (isDialogOpen()) return;
    const list = make('ul', { id: 'palette-list', role: 'listbox', 'aria-label': texts('Palette') });
    const input = make('input', {
      id: 'palette-input', type: 'text', role: 'combobox', autocomplete: 'off',
      'aria-autocomplete': 'list', 'aria-controls': 'palette-list', 'aria-expanded': 'true',
    });
    const label = make('label', { id: 'palette-label', for: 'palette-input' }, texts('Palette'));
    const attributes = { class: 'palette', 'aria-labelledby': 'palette-label' };
    runPalette(openDialog(attributes, label, input, list), input, list, pages);
  }

  function runPalette(dialog, input, list, pages) {
    let entries = [];
    let tenants = [];
    let chosen = 0;
    let timer, asking;

    function choose(place) {
      chosen = place;
      [...list.children].forEach((option, at) => option.setAttribute('aria-selected', at === place));
      const option = list.children[place];
      input.setAttribute('aria-activedescendant', option?.id || '');
      option?.scrollIntoView({ block: 'nearest' });
    }

    function show(place) {
      const typed = input.value.trim();
      // Who has no console in the menu may not open a command.
      const isCommand = UUID.test(typed) && pages.some((page) => page.href === COMMANDS);
      entries = pages.filter((page) => fold(`${page.label} ${page.group}`).includes(fold(typed)));
      if (isCommand) entries.unshift({ label: texts('OpenCommand'), group: typed, href: `${COMMANDS}/${typed.toLowerCase()}` });
      entries.push(...tenants);
      list.replaceChildren(...entries.map(({ label, group }, at) =>
        make('li', { id: `palette-${at}`, role: 'option' }, label, ...(group ? [' ', make('small', {}, group)] : []))));
      input.setAttribute('aria-expanded', entries.length > 0);
      choose(Math.min(place, entries.length - 1));
    }

    function stopAsking() {
      clearTimeout(timer);
      asking?.abort();
    }

    async function findTenants(typed) {
      asking = new AbortController();
      try {
        const answer = await ask('/app/palette?fragment=palette&q=' + encodeURIComponent(typed), { signal: asking.signal });
        if (!answer.ok) return;
        const found = await answer.json();
        if (input.value.trim() !== typed) return;
        tenants = found.filter(({ label, href }) => label && href && isOwn(href));
        show(Math.max(chosen, 0));
      } catch { /* An older question, or no network: the pages are still there. */ }
    }

    function follow(place) {
      const entry = entries[place];
      if (!entry) return;
      dialog.close();
      location.assign(entry.href);
    }

    input.addEventListener('input', () => {
      const typed = input.value.trim();
      stopAsking();
      tenants = [];
      show(0);
      if (typed && 'palette' in body.dataset) timer = setTimeout(findTenants, 200, typed);
    });
    input.addEventListener('keydown', (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.isComposing || (!step && event.key !== 'Enter')) return;
      event.preventDefault();
      if (!step) follow(chosen);
      else if (entries.length) choose((chosen + step + entries.length) % entries.length);
    });
    // The field keeps the focus.
    list.addEventListener('pointerdown', (event) => event.preventDefault());
    list.addEventListener('click', (event) => follow([...list.children].indexOf(near(event, 'li'))));
    dialog.addEventListener('close', stopAsking);
    show(0);
  }

  const WARNING = 120000;
  let endTimer, endDialog, warnedOf;

  const endMillis = () => Number(body.dataset.ends) * 1000;

  // As a fragment it keeps nobody signed in, and tells what another tab has done.
  async function askEnd(href) {
    try {
      const answer = await ask(href);
      const ends = answer.ok && Number((await answer.json()).ends_at);
      if (ends) body.dataset.ends = ends;
      return isSignedOut(answer);
    } catch {
      return false;
    }
  }

  async function watchEnd() {
    clearTimeout(endTimer);
    if (!endMillis() || document.hidden) return;
    if (endMillis() - Date.now() <= WARNING) await askEnd('/app/alive?fragment=ends');
    const left = endMillis() - Date.now();
    if (left > WARNING || left <= 0) endDialog?.close();
    clearTimeout(endTimer);
    if (left <= 0) return showSignedOut();
    if (left <= WARNING) warnOfEnd();
    endTimer = setTimeout(watchEnd, left > WARNING ? left - WARNING : left);
  }

  // Once for each end: the last one cannot be put off.
  function warnOfEnd() {
    if (warnedOf === body.dataset.ends) return;
    warnedOf = body.dataset.ends;
    const text = make('p', { id: 'ending-text' }, texts('Ending'));
    const button = make('button', { type: 'button', class: 'primary' }, texts('Continue'));
    first('dialog[open]')?.close();
    endDialog = openDialog({ class: 'ending', 'aria-labelledby': 'ending-text' }, text, button);
    button.addEventListener('click', goOn);
  }

  async function goOn() {
    const isOver = await askEnd('/app/alive');
    endDialog?.close();
    if (isOver) showSignedOut();
    else watchEnd();
  }

  let pointed;
  const places = new WeakMap();

  function chartOf(plot) {
    const figure = plot?.closest('figure.chart');
    const table = figure && first('details.data table', figure);
    return table && { figure, table, rows: all('tbody tr', table) };
  }

  function valueLine(figure) {
    let line = first('.chart-value', figure);
    if (!line) figure.insertBefore(line = make('p', { class: 'chart-value' }), first('details.data', figure));
    return line;
  }

  function rowText(table, row) {
    const heads = all('thead th', table).map(wordsOf);
    const [name, ...values] = [...row.cells].map(wordsOf);
    return `${name}: ` + values.map((value, at) => `${heads[at + 1] || ''} ${value}`).join(' · ');
  }

  function showValue(plot, place, politeness) {
    const chart = chartOf(plot);
    if (!chart?.rows.length || places.get(plot) === place) return;
    places.set(plot, place);
    const line = valueLine(chart.figure);
    line.setAttribute('aria-live', politeness);
    line.textContent = rowText(chart.table, chart.rows[place]);
  }

  function hideValue(plot) {
    const chart = chartOf(plot);
    if (!chart) return;
    places.delete(plot);
    valueLine(chart.figure).textContent = '';
  }

  function onPointer(event) {
    const plot = near(event, 'svg.plot');
    if (pointed !== plot) hideValue(pointed);
    pointed = plot;
    const count = chartOf(plot)?.rows.length;
    if (!count) return;
    const { left, width } = plot.getBoundingClientRect();
    const place = Math.floor((count * (event.clientX - left)) / width);
    showValue(plot, Math.max(0, Math.min(count - 1, place)), 'off');
  }

  function onPlotKey(event) {
    const plot = near(event, 'svg.plot');
    const last = (chartOf(plot)?.rows.length || 0) - 1;
    if (last < 0 || isModified(event)) return;
    const at = places.get(plot);
    const next = {
      ArrowLeft: at === undefined ? last : Math.max(0, at - 1),
      ArrowRight: at === undefined ? 0 : Math.min(last, at + 1),
      Home: 0,
      End: last,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    showValue(plot, next, 'polite');
  }

  const sent = new Set();
  const changed = new Set();

  function onSubmit(event) {
    const form = event.target;
    if (event.defaultPrevented) return;
    leaveUnguarded(form);
    if (!form.matches('[data-once]')) return;
    if (sent.has(form)) {
      event.preventDefault();
      return;
    }
    sent.add(form);
    // Afterwards, so that the pressed button's value is still sent.
    setTimeout(setDisabled, 0, form, true);
  }

  function setDisabled(form, isDisabled) {
    for (const button of form.elements) if (button.type === 'submit') button.disabled = isDisabled;
  }

  function onShow({ persisted }) {
    if (!persisted) return;
    for (const form of sent) setDisabled(form, false);
    sent.clear();
  }

  const warnOfLeaving = (event) => event.preventDefault();

  function onInput({ target }) {
    if (!target.form?.matches('[data-guard]')) return;
    changed.add(target.form);
    addEventListener('beforeunload', warnOfLeaving);
  }

  // The listener is there only while it is needed: with it, a page cannot be kept for Back.
  function leaveUnguarded(form) {
    changed.delete(form);
    if (!changed.size) removeEventListener('beforeunload', warnOfLeaving);
  }

  function onChange(event) {
    onInput(event);
    if (near(event, 'select[data-submit]')) event.target.form?.requestSubmit();
  }

  function onClick(event) {
    // A reload, unlike a link to the same page, takes nothing that was kept.
    if (near(event, '[data-reload]')) {
      event.preventDefault();
      location.reload();
      return;
    }
    if (near(event, '[data-pause]')) togglePause();
    const button = near(event, '[data-copy]');
    if (!button) return;
    navigator.clipboard?.writeText(button.dataset.copy).then(() => showToast(texts('Copied')), () => {});
  }

  function onVisible() {
    if (document.hidden) {
      clearTimeout(liveTimer);
      return;
    }
    addRelative(document);
    schedule(0);
    watchEnd();
  }

  const listeners = {
    keydown: (event) => { onPlotKey(event); onKey(event); },
    click: onClick,
    submit: onSubmit,
    input: onInput,
    change: onChange,
    pointermove: onPointer,
    pointerdown: onPointer,
    // On focus, too: the line is there, empty, before it is read out.
    focusin: (event) => hideValue(near(event, 'svg.plot')),
    focusout: (event) => hideValue(near(event, 'svg.plot')),
    visibilitychange: onVisible,
  };
  for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener);
  addEventListener('pageshow', onShow);
  setInterval(() => { if (!document.hidden) addRelative(document); }, 30000);

  prepare(document);
  first('.error-summary')?.focus();
  startLive();
  watchEnd();
})();
