/** What the dashboard uses of Apache ECharts. */
export interface Chart {
  setOption(option: unknown, settings?: { notMerge?: boolean }): void;
  on(event: string, listener: (event: any) => void): void;
  resize(): void;
  clear(): void;
  dispose(): void;
}
export function init(host: HTMLElement, theme: null, settings: { renderer: "canvas" | "svg" }): Chart;
