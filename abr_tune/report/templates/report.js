"use strict";
(() => {
  const plots = [];
  for (const source of document.querySelectorAll("script[data-figure]")) {
    const target = document.getElementById(source.dataset.figure);
    const figure = JSON.parse(source.textContent);
    // plotly's default tool bar offers to send the chart to its makers.
    Plotly.newPlot(target, figure.data, figure.layout, { responsive: true, displaylogo: false,
      showSendToCloud: false, plotlyServerURL: "", modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
    plots.push(target);
  }
  const closed = [];
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not([open])")) {
      details.open = true;
      closed.push(details);
    }
    for (const plot of plots) Plotly.relayout(plot, { width: Math.min(plot.clientWidth, 680), autosize: false });
  });
  window.addEventListener("afterprint", () => {
    for (const details of closed.splice(0)) details.open = false;
    for (const plot of plots) Plotly.relayout(plot, { width: null, autosize: true });
  });
})();
