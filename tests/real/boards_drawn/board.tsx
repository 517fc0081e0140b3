// Draws a dashboard with Grafana's own components. The query results are in `window.BOARD`, the theme in
// `window.THEME`. Status history and state timeline are in Grafana's core, which is not published as a
// package: they are drawn here, with the colours and names of Grafana's display processor.
import '@fontsource/inter/latin-400.css';
import '@fontsource/inter/latin-500.css';
import { useEffect, useLayoutEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import {
  applyFieldOverrides, createTheme, DataFrame, dateTime, DisplayValue, Field, FieldType,
  formattedValueToString, getDisplayProcessor, getFieldDisplayName, getFieldDisplayValues,
  GrafanaTheme2, LoadingState, standardFieldConfigEditorRegistry, standardTransformers,
  standardTransformersRegistry, ThemeContext, toDataFrame, transformDataFrame, VizOrientation,
} from '@grafana/data';
import {
  BarGauge, BigValue, GlobalStyles, PanelChrome, Table, TimeSeries,
} from '@grafana/ui';

const HEIGHT = 30, GAP = 8, WIDTH = 1424;
const board = (window as any).BOARD;
// JSON has no infinity: Grafana sets the lowest threshold when it loads a dashboard.
JSON.stringify(board, (key, value) => {
  if (key === 'steps' && Array.isArray(value)) { value[0].value = -Infinity; }
  return value;
});
const theme = createTheme({ colors: { mode: (window as any).THEME } });
const range = { from: dateTime(board.from), to: dateTime(board.to), raw: { from: '', to: '' } };

const option = (path: string, isCustom: boolean) => ({
  id: isCustom ? `custom.${path}` : path, path, name: path, isCustom, settings: {},
  process: (value: unknown) => value, shouldApply: () => true, editor: () => null, override: () => null,
}) as any;
const PLAIN = ['unit', 'min', 'max', 'decimals', 'noValue', 'displayName', 'mappings', 'thresholds', 'color', 'links'];
const CUSTOM = ['lineWidth', 'fillOpacity', 'showPoints', 'spanNulls', 'stacking', 'axisSoftMin', 'drawStyle',
  'lineInterpolation', 'pointSize', 'align', 'cellOptions', 'filterable',
  'axisPlacement', 'hidden', 'width', 'minWidth'];
standardFieldConfigEditorRegistry.setInit(() => PLAIN.map((path) => option(path, false)));
const registry: any = { list: () => [], getIfExists: () => undefined };
const options = [...PLAIN.map((path) => option(path, false)), ...CUSTOM.map((path) => option(path, true))];
registry.list = () => options;
registry.getIfExists = (id: string) => options.find((each) => each.id === id);
standardTransformersRegistry.setInit(() =>
  [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map((transformation) =>
    ({ id: transformation.id, name: transformation.name, transformation, editor: () => null }) as any));

// Converts a Prometheus result to a data frame, as Grafana's data source does.
function seriesToFrame(target: any, series: any): DataFrame {
  const points = series.values ?? [series.value];
  const name = target.legendFormat === '__auto' ? '' :
    target.legendFormat.replace(/\{\{(\w+)\}\}/g, (_: string, label: string) => series.metric[label] ?? '');
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map((each: any) => each[0] * 1000) },
      { name: 'Value', type: FieldType.number, labels: series.metric, values: points.map((each: any) => Number(each[1])),
        config: { displayNameFromDS: name || undefined } },
    ],
  });
}

function answerToTable({ target, result }: any, count: number): DataFrame {
  const labels = [...new Set(result.flatMap((each: any) => Object.keys(each.metric)))] as string[];
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: result.map((each: any) => each.value[0] * 1000) },
      ...labels.map((name) => ({ name, type: FieldType.string, values: result.map((each: any) => each.metric[name] ?? '') })),
      { name: count > 1 ? `Value #${target.refId}` : 'Value', type: FieldType.number,
        values: result.map((each: any) => Number(each.value[1])) },
    ],
  });
}

function withFieldConfig(frames: DataFrame[], panel: any): DataFrame[] {
  const defaults = panel.fieldConfig.defaults;
  const fieldConfig = { ...panel.fieldConfig, defaults: { ...defaults, custom:
    { drawStyle: 'line', lineInterpolation: 'linear', pointSize: 5, axisPlacement: 'auto', ...defaults.custom } } };
  return applyFieldOverrides({ data: frames, fieldConfig, theme, timeZone: 'utc', fieldConfigRegistry: registry,
    replaceVariables: (text: string) => text });
}

function useFrames({ panel, answers }: any): DataFrame[] | undefined {
  const [frames, setFrames] = useState<DataFrame[]>();
  useEffect(() => {
    if (panel.type === 'row') { return; }
    if (panel.type !== 'table') {
      setFrames(withFieldConfig(answers.flatMap(({ target, result }: any) =>
        result.map((series: any) => seriesToFrame(target, series))), panel));
      return;
    }
    const tables = answers.filter((each: any) => each.result.length).map((each: any) => answerToTable(each, answers.length));
    const done = transformDataFrame(panel.transformations, tables).subscribe((found) => setFrames(withFieldConfig(found, panel)));
    return () => done.unsubscribe();
  }, []);
  return frames;
}

const NoData = ({ text }: { text?: string }) =>
  <div style={{ display: 'grid', placeItems: 'center', height: '100%', color: theme.colors.text.secondary }}>{text ?? 'No data'}</div>;

function Stat({ panel, frames, width, height }: any) {
  const values = getFieldDisplayValues({ fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text: string) => text, theme, data: frames, timeZone: 'utc' });
  const { display } = values[0];
  return <BigValue value={display} width={width} height={height} theme={theme} colorMode={panel.options.colorMode}
    graphMode={panel.options.graphMode} textMode={panel.options.textMode} justifyMode={'auto' as any} />;
}

function Bars({ panel, frames, width, height }: any) {
  const values = getFieldDisplayValues({ fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text: string) => text, theme, data: frames, timeZone: 'utc' });
  const top = Math.max(...values.map((each) => each.display.numeric), 1);
  const row = (height - 4 * GAP) / values.length;
  return <>{values.map((each) => <div key={each.display.title} style={{ marginBottom: GAP }}>
    <BarGauge value={each.display} field={{ ...each.field, min: 0, max: top } as any} display={each.view
      ? getDisplayProcessor({ field: each.view.dataFrame.fields[each.colIndex!], theme }) : undefined}
      width={width} height={row} orientation={VizOrientation.Horizontal} theme={theme} displayMode={panel.options.displayMode} />
  </div>)}</>;
}

const valueField = (frame: DataFrame) => frame.fields.find((field) => field.type === FieldType.number)!;
const shown = (field: Field, value: number): DisplayValue => (field.display ?? getDisplayProcessor({ field, theme }))(value);

// The values of a series with their times. In a timeline, equal consecutive values are joined.
function stretches(times: number[], values: number[], step: number, daily: boolean) {
  const found: Array<{ from: number; to: number; value: number }> = [];
  values.forEach((value, index) => {
    const last = found[found.length - 1], from = times[index];
    if (!daily && last && last.value === value && last.to >= from) { last.to = from + step; } else { found.push({ from, to: from + step, value }); }
  });
  return found;
}

// A row of coloured cells for each series: one per day in a status history, one per status in a timeline.
function Cells({ panel, frames, width, height }: any) {
  const daily = panel.type === 'status-history';
  const named = frames.map((frame: DataFrame) => ({ frame, field: valueField(frame), name: getFieldDisplayName(valueField(frame), frame, frames) }))
    .sort((a: any, b: any) => a.name.localeCompare(b.name));
  const left = Math.min(Math.max(...named.map((each: any) => each.name.length)) * 6.6 + GAP, width * 0.48);
  const axis = 20, row = Math.min((height - axis) / named.length, 34), across = width - left;
  const times: number[] = named.flatMap(({ frame }: any) => frame.fields[0].values);
  const step = daily ? 86400e3 : Math.min(...named.map(({ frame }: any) => frame.fields[0].values[1] - frame.fields[0].values[0]));
  const start = Math.min(...times), end = Math.max(...times) + step;
  const x = (at: number) => left + ((at - start) / (end - start)) * across;
  const ticks = Array.from({ length: Math.ceil((end - start) / 86400e3) }, (_, day) => Math.ceil(start / 86400e3) * 86400e3 + day * 86400e3)
    .filter((at) => at < end && (x(86400e3) - x(0) > 45 || Math.round(at / 86400e3) % 4 === 0));
  return <svg width={width} height={height} style={{ font: '12px Inter' }}>
    {named.map(({ frame, field, name }: any, place: number) => <g key={name}>
      <text x={0} y={place * row + row / 2 + 4} fill={theme.colors.text.primary}>{name.length * 6.6 > left ? `${name.slice(0, left / 6.6 - 1)}…` : name}</text>
      {stretches(frame.fields[0].values, field.values, step, daily).map(({ from, to, value }) =>
        <rect key={from} x={x(from)} y={place * row + 1} width={x(to) - x(from) - (daily ? 2 : 0)} height={row - 3} fill={shown(field, value).color} />)}
    </g>)}
    {ticks.map((at) => <text key={at} x={x(at)} y={named.length * row + 14} fill={theme.colors.text.secondary}>{dateTime(at).utc().format('MM/DD')}</text>)}
  </svg>;
}

// The dashboard's annotations, as dashed lines across a graph.
function Marks({ builder }: any) {
  useLayoutEffect(() => builder.addHook('draw', (plot: any) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.setLineDash([4, 4]);
    for (const { color, at } of board.marks) {
      for (const moment of at) {
        const x = plot.valToPos(moment, 'x', true);
        ctx.strokeStyle = color;
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
      }
    }
    ctx.restore();
  }), []);
  return null;
}

function Lines({ panel, frames, width, height }: any) {
  return <TimeSeries frames={frames} structureRev={1} timeRange={range as any} timeZone="utc" width={width} height={height}
    legend={{ ...panel.options.legend, calcs: [] }} options={panel.options}>
    {(builder: any) => <Marks builder={builder} />}
  </TimeSeries>;
}

function Rows({ panel, frames, width, height }: any) {
  return <Table data={frames[0]} width={width} height={height} initialSortBy={panel.options.sortBy?.map((each: any) =>
    ({ displayName: each.displayName, desc: each.desc }))} cellHeight={panel.options.cellHeight} />;
}

const KINDS: Record<string, any> = { stat: Stat, bargauge: Bars, 'state-timeline': Cells, 'status-history': Cells, timeseries: Lines, table: Rows };

function Inner(props: any) {
  const { panel, frames } = props, Kind = KINDS[panel.type];
  const empty = !frames.length || frames.every((frame: DataFrame) => !frame.length);
  if (!Kind) { return <NoData text={panel.type} />; }
  if (panel.type !== 'stat' && empty) { return <NoData text={panel.fieldConfig.defaults.noValue} />; }
  return <Kind {...props} />;
}

// Set once every panel has its frames and is painted: the picture may be taken.
let waiting = board.panels.filter(({ panel }: any) => panel.type !== 'row').length;
async function painted() {
  await document.fonts.ready;
  for (let frame = 0; frame < 5; frame++) { await new Promise(requestAnimationFrame); }
  (window as any).DRAWN = true;
}

function Panel({ entry }: any) {
  const { panel } = entry, { x, y, w, h } = panel.gridPos, column = (WIDTH - GAP) / 24;
  const frames = useFrames(entry);
  useEffect(() => { if (frames && panel.type !== 'row' && --waiting === 0) { painted(); } }, [frames]);
  const place = { position: 'absolute', left: x * column + GAP, top: y * (HEIGHT + GAP), width: w * column - GAP, height: h * (HEIGHT + GAP) - GAP } as const;
  if (panel.type === 'row') {
    return <div style={{ ...place, fontSize: 16, fontWeight: 500, color: theme.colors.text.primary, paddingTop: 4 }}>{panel.collapsed ? '›' : '⌄'} {panel.title}</div>;
  }
  return <div style={place}><PanelChrome title={panel.title} width={place.width} height={place.height}
    padding={panel.type === 'stat' && panel.options.colorMode !== 'none' ? 'none' : 'md'}>
    {(width: number, height: number) => frames ? <Inner panel={panel} frames={frames} width={width} height={height} /> : null}
  </PanelChrome></div>;
}

function Board() {
  const bottom = Math.max(...board.panels.map(({ panel }: any) => panel.gridPos.y + panel.gridPos.h));
  return <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <div style={{ position: 'relative', width: WIDTH + GAP, height: bottom * (HEIGHT + GAP) + GAP, background: theme.colors.background.canvas }}>
      {board.panels.map((entry: any) => <Panel key={entry.panel.id} entry={entry} />)}
    </div>
  </ThemeContext.Provider>;
}

document.body.style.background = theme.colors.background.canvas;
createRoot(document.getElementById('board')!).render(<Board />);
