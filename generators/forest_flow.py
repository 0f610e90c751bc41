from __future__ import annotations
import numpy as np, pandas as pd
from .common import NotPrivate, check_rows, draw_in_passes
from .cores import threads
from .cube import Cube
from .mixed import Mixed
from dataclasses import replace
from ..bench.schema import Schema

EPS=1e-3; B0,B1=.1,8.
class ForestFlow(NotPrivate):
    def __init__(self, process="flow", times=10, copies=1, trees=10, depth=7, eta=.3, bins=64, rows=10**9, widest=100, learns="data", classes=20, mcw=1.0, scale="normal", crowd=1.0, heun=True, lam=0.0, linear=True):
        self.__dict__.update({k:v for k,v in locals().items() if k!="self"})
    def fit(self, train, *, schema, budget, rng):
        import xgboost
        check_rows(train)
        self.schema_=schema
        self.label_=None; codes=np.zeros(len(train),int); inner=schema
        if schema.target and schema[schema.target].is_discrete:
            one=Schema((schema[schema.target],)); m=Mixed.of(train[[schema.target]],one)
            if m.sizes[0]<=self.classes:
                self.label_=m; codes=m.split(train[[schema.target]])[1][:,0]
                inner=Schema(tuple(c for c in schema if c.name!=schema.target))
        self.cube_=Cube.of(train[inner.names],inner,self.widest,self.scale)
        points=self.cube_.points(train[inner.names],rng)
        self.shares_=np.bincount(codes)/len(codes)
        self.models_=[]; self.coefs_=[]
        members=[np.flatnonzero(codes==k) for k in range(len(self.shares_))]
        draws=rng.spawn(self.times*len(members))
        for i,t in enumerate(self.grid()):
            for k,who in enumerate(members):
                r=draws[i*len(members)+k]
                n=min(self.copies*len(who), max(1,int(self.rows*len(who)/len(train))))
                x=points[who[draw_in_passes(len(who), n, r)]]
                z=r.standard_normal(x.shape,dtype=np.float32)
                xt,y=self.mix(x,z,t)
                if self.linear:
                    one=np.column_stack([np.ones(len(xt)),xt]); g=one.T@one; g[np.diag_indices(len(g))]+=1.0
                    coef=np.linalg.solve(g,one.T@y).astype(np.float32)
                    y=y-(xt@coef[1:]+coef[0])
                    self.coefs_.append(coef)
                d=xgboost.QuantileDMatrix(xt,y,max_bin=self.bins,nthread=threads())
                o=dict(objective="reg:squarederror",tree_method="hist",max_depth=self.depth,max_bin=self.bins,eta=self.eta,reg_lambda=self.lam,nthread=threads(),min_child_weight=self.mcw)
                b=xgboost.train(o,d,self.trees)
                self.models_.append(b)
        return self
    def grid(self):
        if self.process=="flow": return 1-(1-np.arange(self.times)/self.times)**self.crowd
        return np.linspace(1,EPS,self.times)
    def ab(self,t):
        l=-.25*t*t*(B1-B0)-.5*t*B0
        return np.exp(l), np.sqrt(1-np.exp(2*l))
    def mix(self,x,z,t):
        if self.process=="flow":
            return np.float32(t)*x+np.float32(1-t)*z, (x if self.learns=="data" else x-z)
        a,s=map(np.float32,self.ab(t)); return a*x+s*z, z
    def sample(self,n,*,rng):
        k=rng.choice(len(self.shares_),size=n,p=self.shares_)
        x=rng.standard_normal((n,self.cube_.width),dtype=np.float32)
        g=self.grid(); K=len(self.shares_)
        if self.process=="flow":
            e=np.append(g,1.0)
            def vel(i,c,q):
                p=self.models_[i*K+c].inplace_predict(q).reshape(len(q),-1)
                if self.linear: w=self.coefs_[i*K+c]; p=p+q@w[1:]+w[0]
                return p if self.learns!="data" else (p-q)/np.float32(1-g[i])
            for c in range(K):
                m=np.flatnonzero(k==c)
                if not len(m): continue
                q=x[m]
                for i in range(len(g)):
                    h=np.float32(e[i+1]-e[i]); v=vel(i,c,q)
                    if self.heun and i+1<len(g):
                        v=(v+vel(i+1,c,q+h*v))/2
                    q=q+h*v
                x[m]=q
            g=g[:0]
        for i,t in enumerate(g):
            for c in range(K):
                m=np.flatnonzero(k==c)
                if not len(m): continue
                p=self.models_[i*K+c].inplace_predict(x[m]).reshape(len(m),-1)
                if self.process=="flow":
                    v=p if self.learns!="data" else (p-x[m])/np.float32(1-t)
                    x[m]+=v/np.float32(self.times)
                else:
                    a,s=map(np.float32,self.ab(t))
                    if i+1==len(g): x[m]=(x[m]-s*p)/a; continue
                    h=np.float32(t-g[i+1]); beta=np.float32(B0+t*(B1-B0))
                    x[m]+=h*(beta/2*x[m]-beta*p/s)+np.sqrt(beta*h)*rng.standard_normal((len(m),x.shape[1]),dtype=np.float32)
        tab=self.cube_.table(x)
        if self.label_ is None: return tab
        l=self.label_.table(np.zeros((n,0)),k[:,None])
        return self.schema_.assemble({**{c:tab[c] for c in tab},**{c:l[c] for c in l}})
