// Reads {name: query} as JSON on standard input, writes {name: {problems: [text], columns: {name: type}}}: what Microsoft's
// own language service says of each, given the tables of Application Insights that we use (its schema, read 2026-11).
const { createRequire } = require('node:module')
const path = require('node:path')

const fromSandbox = createRequire(path.join(__dirname, '../../sandbox/package.json'))
fromSandbox('@kusto/language-service-next/bridge.min.js')
fromSandbox('@kusto/language-service-next/Kusto.Language.Bridge.min.js')
const { KustoCode, GlobalState, Symbols } = globalThis.Kusto.Language

const COMMON =
  'timestamp: datetime, itemType: string, customDimensions: dynamic, customMeasurements: dynamic, operation_Name: string, ' +
  'operation_Id: string, operation_ParentId: string, cloud_RoleName: string, cloud_RoleInstance: string, appId: string, ' +
  'appName: string, iKey: string, sdkVersion: string, itemId: string'
const TABLES = {
  traces: 'message: string, severityLevel: int, itemCount: int',
  customMetrics: 'name: string, value: real, valueCount: int, valueSum: real, valueMin: real, valueMax: real, valueStdDev: real',
  requests: 'id: string, source: string, name: string, url: string, success: string, resultCode: string, duration: real, itemCount: int',
}

const tables = Object.entries(TABLES).map(([name, columns]) => new Symbols.TableSymbol.$ctor7(name, `(${COMMON}, ${columns})`, ''))
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor('insights', tables))

const listed = (list) => Array.from({ length: list.Count }, (_, at) => list.getItem(at))

function read(query) {
  const code = KustoCode.ParseAndAnalyze(query, globals)
  const columns = code.ResultType?.Columns ?? { Count: 0 }
  return {
    problems: listed(code.GetDiagnostics()).map((found) => found.Message),
    columns: Object.fromEntries(listed(columns).map((column) => [column.Name, column.Type.Name])),
  }
}

const queries = JSON.parse(require('node:fs').readFileSync(0, 'utf8'))
process.stdout.write(JSON.stringify(Object.fromEntries(Object.entries(queries).map(([name, query]) => [name, read(query)]))))
