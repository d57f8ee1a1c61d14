metadata description = 'The workbook beside Application Insights: what flows, what does not, and why.'

param location string
param tags object
param insightsId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(insightsId, 'mailsync')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Mail in Dataverse'
    category: 'workbook'
    sourceId: insightsId
    serializedData: string(union(loadJsonContent('workbook.json'), { fallbackResourceIds: [ insightsId ] }))
  }
}
