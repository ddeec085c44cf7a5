"use strict";
(() => {
  const plots = [];
  for (const source of document.querySelectorAll("script[data-figure]")) {
    const target = document.getElementById(source.dataset.figure);
    const figure = JSON.parse(source.textContent);
    // plotly's default tool bar offers to send the chart to its makers.
    Plotly.newPlot(target, figure.data, figure.layout, { responsive: true, displaylogo: false,
      displayModeBar: figure.layout.margin.t > 30 ? "hover" : false,
      showSendToCloud: false, plotlyServerURL: "", modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
    plots.push(target);
  }
  for (const box of document.querySelectorAll("[data-switch]")) {
    const target = document.getElementById(box.dataset.switch);
    const buttons = [...box.querySelectorAll("button")];
    for (const button of buttons) {
      button.addEventListener("click", () => {
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
        const wanted = button.dataset.show;
        Plotly.restyle(target, { visible: target.data.map((trace) => wanted === "all" || trace.meta === wanted) });
      });
    }
  }
  const closed = [];
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll('details:not([open]):not([data-print="no"])')) {
      details.open = true;
      closed.push(details);
    }
    // A sheet of A4 within its margins is narrower than most windows.
    for (const plot of plots) {
      const width = plot.closest(".pair, .slices") ? 325 : 680;
      Plotly.relayout(plot, { width: Math.min(plot.clientWidth, width), autosize: false });
    }
  });
  window.addEventListener("afterprint", () => {
    for (const details of closed.splice(0)) details.open = false;
    for (const plot of plots) Plotly.relayout(plot, { width: null, autosize: true });
  });
})();
