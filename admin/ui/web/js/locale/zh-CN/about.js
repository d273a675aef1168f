export default {
  'about.checks': '检查', 'about.again': '重新检查', 'about.fine': '一切正常', 'about.none': '还没有运行检查',
  'about.warn': { other: '{n} 个警告' }, 'about.bad': { other: '{n} 个故障' },
  'about.check.storage': '存储', 'about.check.store': '存储', 'about.check.upstream': 'Google', 'about.check.pool': '密钥池', 'about.check.clock': '时钟',
  'about.check.sync': '模型', 'about.check.models': '模型', 'about.check.log': '请求日志', 'about.check.request_log': '请求日志', 'about.check.disk': '可用磁盘',
  'about.check.restore': '恢复', 'about.figure.sys_bytes': '内存',
  'about.check.config': '配置', 'about.check.prices': '价格', 'about.check.proxy': '代理', 'about.check.routes': '代理', 'about.check.tls': '加密',
  'about.figures': '数据', 'about.figure.version': '版本', 'about.figure.commit': '提交', 'about.figure.caddy': 'Caddy', 'about.figure.go': 'Go', 'about.figure.os': '系统',
  'about.figure.uptime_s': '已运行', 'about.figure.started_at': '启动时间', 'about.figure.started': '启动时间', 'about.figure.goroutines': '协程', 'about.figure.heap_bytes': '堆内存',
  'about.figure.streams': '打开的流', 'about.figure.sessions': '会话', 'about.figure.config_loaded_at': '配置加载时间', 'about.figure.in_flight': '进行中',
  'about.figure.store': '存储', 'about.figure.path': '路径', 'about.figure.cpus': 'CPU', 'about.figure.arch': '架构',
  'about.more': '更多', 'about.diagnostics': '诊断文件', 'about.diagnosticsText': '这是完整的文件。其中没有密钥；转交之前请先查看。',
  'about.download': '下载', 'about.openapi': 'OpenAPI 描述', 'about.metrics': '指标', 'about.docs': '文档', 'about.licences': '内置代码的许可证',
};
