// Beats four times a second, also while the page is in the background, where a page's own timers are slowed down.
setInterval(() => postMessage(0), 250);
